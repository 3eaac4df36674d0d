/* A program in Python, without the shell that its launcher needs.
 *
 * The record of a start tells what `lamina.formats.launcher` writes for a program that needs nothing
 * of a shell: where the package has just that, with the path of some interpreter in it, the same
 * happens here. A shell takes as long to begin as all that is done here before it.
 */

#define _GNU_SOURCE
#include "launcher.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* The interpreter's path, between two texts of a launcher; NULL where it is another one. As
 * `[ ! -L "$self" ]` and the kernel have it: a link lies in another root, and who may not run it, may
 * not. */
static char *interpreter_of(const char *launcher, const char *before, const char *behind)
{
    static const char plain[] = /* a shell takes it as it stands */
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.+-";
    size_t begin = strlen(before), end = strlen(behind), size;
    struct stat found;
    if (lstat(launcher, &found) < 0 || !S_ISREG(found.st_mode) || access(launcher, X_OK) < 0)
        return NULL;
    char *text = contents(launcher, &size);
    if (text == NULL || size <= begin + end || memcmp(text, before, begin) != 0
        || memcmp(text + size - end, behind, end) != 0)
        return NULL;
    text[size - end] = '\0';
    char *path = text + begin;
    return *path == '/' && strspn(path, plain) == size - begin - end ? path : NULL;
}

/* What the shell and the launcher do to the environment; dash tells every program where it is. */
static void prepare(const char *root)
{
    struct stat found;
    char *folder = get_current_dir_name(), *libraries = format("%s/lib", root);
    if (folder != NULL)
        setenv("PWD", folder, 1);
    if (stat(libraries, &found) == 0 && S_ISDIR(found.st_mode)) {
        const char *others = getenv("LD_LIBRARY_PATH");
        int are_there = others != NULL && *others != '\0';
        setenv("LD_LIBRARY_PATH", are_there ? format("%s:%s", libraries, others) : libraries, 1);
    }
    unsetenv("PYTHONPATH");
    unsetenv("PYTHONHOME");
    unsetenv("PYTHONSAFEPATH");
}

void start_python(const struct start *start, char **words, char **variables)
{
    char *const *known = start->launcher.all; /* two texts, and the bootstrap */
    if (start->launcher.count != 3)
        return;
    char *root = strndup(words[0], (size_t)(strrchr(words[0], '/') - words[0]));
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    char **all = calloc(count + 3, sizeof *all);
    if (root == NULL || all == NULL)
        return;
    environ = variables;
    const char *other = getenv("LAMINA_PYTHON");
    if ((other != NULL && *other != '\0') || access(format("%s/.lamina/version", root), R_OK) == 0
        || (all[0] = interpreter_of(words[0], known[0], known[1])) == NULL || access(all[0], X_OK) < 0)
        return;
    prepare(root);
    all[1] = "-sS";
    all[2] = format("%s/%s", root, known[2]);
    memcpy(all + 3, words + 1, (count - 1) * sizeof *all);
    execve(all[0], all, environ);
}

/* A program in Python, without the shell that its launcher needs.
 *
 * The record of a start has the launcher's text where `lamina.formats.launcher` reads in it which
 * interpreter that starts, and with what: where the package still has that text, the same happens
 * here. A shell takes as long to begin as all that is done here before it.
 */

#define _GNU_SOURCE
#include "launcher.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* As `[ ! -L "$self" ]` and the kernel have it: a link lies in another root, and who may not run it, may not. */
static int is_this(const char *path, const char *text)
{
    struct stat found;
    size_t size;
    if (lstat(path, &found) < 0 || !S_ISREG(found.st_mode) || access(path, X_OK) < 0)
        return 0;
    char *now = contents(path, &size);
    int is_so = now != NULL && size == strlen(text) && memcmp(now, text, size) == 0;
    free(now);
    return is_so;
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
    char *const *known = start->launcher.all; /* its text, the interpreter, the bootstrap */
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
        || !is_this(words[0], known[0]) || access(known[1], X_OK) < 0)
        return;
    prepare(root);
    all[0] = known[1];
    all[1] = "-sS";
    all[2] = format("%s/%s", root, known[2]);
    memcpy(all + 3, words + 1, (count - 1) * sizeof *all);
    execve(all[0], all, environ);
}

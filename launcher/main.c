#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static char **own_words;

/* Beside this program lies the one in Python, under this name. */
#define USUAL "lamina-python"

_Noreturn void usual_way(void)
{
    static char path[PATH_MAX + sizeof USUAL];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    char *slash = length > 0 ? memrchr(path, '/', (size_t)length) : NULL;
    if (slash != NULL) {
        strcpy(slash + 1, USUAL);
        execv(path, own_words);
    }
    dprintf(2, "error: can not start `%s`, which belongs beside `lamina`: %s\n"
               "hint: install lamina again; /proc has to be mounted\n",
            slash != NULL ? path : USUAL, strerror(errno));
    _exit(1);
}

char *format(const char *pattern, ...)
{
    char *text = NULL;
    va_list words;
    va_start(words, pattern);
    int length = vasprintf(&text, pattern, words);
    va_end(words);
    if (length < 0)
        usual_way();
    return text;
}

char *contents(const char *path, size_t *size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NULL;
    size_t room = 4096, length = 0;
    char *text = malloc(room);
    for (;;) {
        if (text == NULL)
            usual_way();
        ssize_t more = read(file, text + length, room - length - 1);
        if (more <= 0) {
            close(file);
            if (more == 0)
                break;
            free(text);
            return NULL;
        }
        length += (size_t)more;
        if (length + 1 == room)
            text = realloc(text, room *= 2);
    }
    text[length] = '\0';
    if (size != NULL)
        *size = length;
    return text;
}

static int names(const char *assignment, const char *name, size_t length)
{
    return strncmp(assignment, name, length) == 0 && assignment[length] == '=';
}

/* Ours with those of the package in their place, and without what was for lamina alone. */
static char **variables(const struct texts *own)
{
    size_t count = 0, left = 0;
    while (environ[count] != NULL)
        count++;
    char **all = calloc(count + own->count + 1, sizeof *all);
    if (all == NULL)
        usual_way();
    for (size_t at = 0; at < count; at++) {
        int kept = !names(environ[at], "LAMINA_REPORT", 13) && !names(environ[at], "LAMINA_CARRIED", 14);
        for (size_t other = 0; kept && other < own->count; other++) {
            const char *end = strchr(own->all[other], '=');
            kept = end == NULL || !names(environ[at], own->all[other], (size_t)(end - own->all[other]));
        }
        if (kept)
            all[left++] = environ[at];
    }
    memcpy(all + left, own->all, own->count * sizeof *all);
    return all;
}

static char **arguments(const struct texts *own, char **words, size_t count)
{
    char **all = calloc(own->count + count + 1, sizeof *all);
    if (all == NULL)
        usual_way();
    memcpy(all, own->all, own->count * sizeof *all);
    memcpy(all + own->count, words, count * sizeof *all);
    return all;
}

/* Where images may become folders, that is begun beside jobs that have enough memory. */
static int large_ones_change(const struct start *start)
{
    struct stat found;
    for (size_t at = 0; at < start->large; at++)
        if (lstat(start->folder[at], &found) == 0 || errno != ENOENT)
            return 1;
    return start->large > 0 && !memory_is_scarce();
}

static void renew(const struct texts *notes)
{
    for (size_t at = 0; at < notes->count; at++)
        if (utimensat(AT_FDCWD, notes->all[at], NULL, 0) < 0)
            usual_way();
}

/* Become the program of `lamina exec`, whose words these are. */
static void start_again(char **words, size_t count)
{
    size_t end = 0;
    while (end < count && strcmp(words[end], "--") != 0)
        end++;
    char *store = store_folder();
    struct start start = read_record(store, end, words);
    if (policy_may_be_in_force())
        usual_way();
    int lease = leased(store, start.package);
    struct report report = report_wanted(getenv("LAMINA_REPORT"));
    if (!facts_hold(&start) || large_ones_change(&start))
        usual_way();
    told(&report, PULLED);
    int mount = *start.server != '\0' ? served(&start) : mounted(&start);
    told(&report, MOUNTED);
    size_t more = end < count ? count - end - 1 : 0;
    char **with = arguments(&start.arguments, words + count - more, more);
    char **among = variables(&start.variables);
    enter_root(start.title, mount);
    renew(&start.notes);
    if (fcntl(lease, F_SETFD, 0) < 0) /* it ends with the program */
        usual_way();
    told(&report, STARTED);
    write_report(&report);
    execve(with[0], with, among);
}

/* A standard stream that is closed would become some other file. */
static int has_streams(void)
{
    for (int stream = 0; stream < 3; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            return 0;
    return 1;
}

int main(int count, char **words)
{
    own_words = words;
    if (has_streams() && count > 2 && strcmp(words[1], "exec") == 0 && getenv("_ARGCOMPLETE") == NULL)
        start_again(words + 2, (size_t)count - 2);
    usual_way();
}

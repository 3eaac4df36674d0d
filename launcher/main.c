#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* Beside this program lies the one in Python, under this name. */
#define USUAL "lamina-python"

static char **own_words;
static char usual[PATH_MAX + sizeof USUAL];

/* To be called before the root is another one, in which the link may name another place. */
static void find_usual(void)
{
    ssize_t length = readlink("/proc/self/exe", usual, PATH_MAX - 1);
    if (length < 0 && realpath((const char *)getauxval(AT_EXECFN), usual) == NULL)
        strcpy(usual, "/");
    strcpy(strrchr(usual, '/') + 1, USUAL);
}

/* Installers write the path of the interpreter there as it is, spaces and all; kernels do not read
 * those, nor long ones. */
static void start_by_its_first_line(void)
{
    char line[PATH_MAX + 3];
    int file = open(usual, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, line, sizeof line);
    char *end = length > 0 ? memchr(line, '\n', (size_t)length) : NULL;
    size_t count = 0;
    while (own_words[count] != NULL)
        count++;
    char **words = calloc(count + 2, sizeof *words);
    if (end == NULL || strncmp(line, "#!/", 3) != 0 || count == 0 || words == NULL)
        return;
    *end = '\0';
    words[0] = line + 2;
    words[1] = usual;
    memcpy(words + 2, own_words + 1, (count - 1) * sizeof *words);
    execv(words[0], words);
}

/* As `lamina.cli.main` has it: the other exit codes of these commands are those of programs. */
static int own_failure(void)
{
    static const char *const programs[] = {"run", "exec", "enter"};
    for (size_t at = 0; own_words[0] != NULL && own_words[1] != NULL && at < 3; at++)
        if (strcmp(own_words[1], programs[at]) == 0)
            return 125;
    return 2;
}

/* Kernels pass over that bit of scripts, such as Python's program is; not over that of this one. */
static void refuse_rights_of_the_owner(void)
{
    struct stat own;
    if (stat("/proc/self/exe", &own) < 0 && stat((const char *)getauxval(AT_EXECFN), &own) < 0)
        return;
    if (own.st_mode & (S_ISUID | S_ISGID)) {
        dprintf(2, "error: `lamina` has the setuid or setgid bit, by which anybody had its owner's rights\n"
                   "hint: `chmod ug-s` takes it away\n");
        _exit(own_failure());
    }
}

_Noreturn void usual_way(void)
{
    execv(usual, own_words);
    const char *why = strerror(errno);
    if (errno == ENOENT && access(usual, F_OK) == 0)
        why = "the interpreter in its first line is not on this machine";
    start_by_its_first_line();
    dprintf(2, "error: can not start `%s`, which belongs beside `lamina`: %s\n"
               "hint: install lamina again\n",
            usual, why);
    _exit(own_failure());
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

static int has_name(const char *variable)
{
    const char *end = strchr(variable, '=');
    return end != NULL && end > variable;
}

static int is_among(const char *variable, char *const *others, size_t count)
{
    size_t name = strcspn(variable, "=") + 1;
    for (size_t at = 0; at < count; at++)
        if (strncmp(variable, others[at], name) == 0)
            return 1;
    return 0;
}

static char *const for_lamina_alone[] = {"LAMINA_REPORT=", "LAMINA_CARRIED="};

/* Ours with those of the package in their place; as Python has them, the first of a name alone. */
static char **variables(const struct texts *own)
{
    size_t count = 0, left = 0;
    while (environ[count] != NULL)
        count++;
    char **all = calloc(count + own->count + 1, sizeof *all);
    if (all == NULL)
        usual_way();
    for (size_t at = 0; at < count; at++)
        if (has_name(environ[at]) && !is_among(environ[at], for_lamina_alone, 2)
            && !is_among(environ[at], own->all, own->count) && !is_among(environ[at], all, left))
            all[left++] = environ[at];
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

/* Whether that was begun a short time ago, and is not finished: as `lamina.node.laying` has it. */
static int is_laying(const char *store)
{
    struct stat found;
    if (stat(format("%s/laying", store), &found) < 0 || found.st_size == 0)
        return 0;
    time_t ago = time(NULL) - found.st_mtime;
    return ago >= 0 && ago < 600;
}

/* Where images may become folders, that is begun beside jobs that have enough memory. */
static int large_ones_change(const struct start *start, const char *store)
{
    struct stat found;
    for (size_t at = 0; at < start->large; at++)
        if (lstat(start->folder[at], &found) == 0 || errno != ENOENT)
            return 1;
    return start->large > 0 && !memory_is_scarce() && !is_laying(store);
}

/* Whether a start of the package before would mount folders now that matter. What of small layers was
 * merged changes with each edit, and lies there as a folder soon after each: that is not waited for. */
static int large_ones_have_changed(const struct start *start)
{
    struct stat found;
    for (size_t at = 0; at < start->large; at++) {
        if (lstat(start->folder[at], &found) < 0 && errno == ENOENT)
            continue;
        if (stat(start->large_image[at], &found) < 0 || found.st_size >= 1 << 20)
            return 1;
    }
    return 0;
}

static void renew(const struct texts *notes)
{
    for (size_t at = 0; at < notes->count; at++)
        if (utimensat(AT_FDCWD, notes->all[at], NULL, 0) < 0)
            usual_way();
}

/* Python ignores these from its start on: what it writes to may be gone, or full. */
static void meet_signals(void (*how)(int))
{
    signal(SIGPIPE, how);
    signal(SIGXFSZ, how);
}

/* Become the program of `lamina exec`, whose words these are. */
static void start_again(char **words, size_t count)
{
    meet_signals(SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* as `lamina.cli.start` has it */
    size_t end = 0;
    while (end < count && strcmp(words[end], "--") != 0)
        end++;
    char *store = store_folder();
    int is_known = has_record(store, end, words);
    struct start start = is_known ? read_record(store, end, words) : edited(store, end, words);
    if (policy_may_be_in_force())
        usual_way();
    int lease = leased(store, start.package);
    struct report report = report_wanted(getenv("LAMINA_REPORT"));
    if (!facts_hold(&start))
        usual_way();
    if (is_known ? large_ones_change(&start, store) : large_ones_have_changed(&start))
        usual_way();
    told(&report, PULLED);
    int mount = *start.server != '\0' ? served(&start) : mounted(&start);
    told(&report, MOUNTED);
    size_t more = end < count ? count - end - 1 : 0;
    char **with = arguments(&start.arguments, words + count - more, more);
    char **among = variables(&start.variables);
    enter_root(start.title, mount);
    renew(&start.notes);
    told(&report, STARTED);
    write_report(&report);
    meet_signals(SIG_DFL);
    if (fcntl(lease, F_SETFD, 0) == 0) { /* it ends with the program */
        start_python(&start, with, among);
        execve(with[0], with, among);
    }
    close(lease);
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
    find_usual();
    refuse_rights_of_the_owner();
    if (has_streams() && count > 2 && strcmp(words[1], "exec") == 0 && getenv("_ARGCOMPLETE") == NULL)
        start_again(words + 2, (size_t)count - 2);
    else if (has_streams() && count > 1)
        by_server(words, usual);
    usual_way();
}

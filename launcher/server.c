#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424 /* one number on every architecture */
#endif

#define WHOLE_GROUP 4u     /* PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9 */
#define FROM_TERMINAL 0x80 /* SI_KERNEL: what a terminal sends, it sends to a group */
#define LARGEST (1u << 22) /* bytes of words and environment; `lamina.cli.forkserver` has it too */
#define PATIENCE 2         /* seconds */

extern char **environ;

/* ---- The key: all that a fork of a server has from it. `lamina.cli.serverkey` writes the same. ---- */

struct text {
    char *at;
    size_t size, room;
};

static void add(struct text *text, const void *data, size_t size)
{
    if (text->size + size > text->room) {
        text->room = 2 * (text->size + size);
        text->at = realloc(text->at, text->room);
        if (text->at == NULL)
            usual_way();
    }
    memcpy(text->at + text->size, data, size);
    text->size += size;
}

static void add_text(struct text *text, const char *more)
{
    add(text, more, strlen(more));
}

static const char *const namespaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
static const char *const whole_files[] = {
    "cgroup", "limits", "oom_score_adj", "attr/current", "personality", "loginuid", "sessionid",
};
static const char *const lines_of_status[] = {
    "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp", "Speculation", "Cpus_allowed:",
    "Mems_allowed:", "SigBlk:", "SigIgn:",
};
/* What the interpreter, or a library that it loads, reads but once. */
static const char *const of_interpreter[] = {
    "PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "GLIBC_TUNABLES=", "TZ", "HOME=", "LOCPATH=",
    "GCONV_PATH=", "OPENSSL_", "SSL_", "PROTOCOL_BUFFERS_", "CRYPTOGRAPHY_",
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static int begins_like(const char *text, const char *const *all, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (strncmp(text, all[at], strlen(all[at])) == 0)
            return 1;
    return 0;
}

/* Python's program changes how it meets these before anything else, so they are left out. */
static void add_ignored(struct text *text, const char *line)
{
    unsigned long long ignored = strtoull(line + strlen("SigIgn:"), NULL, 16);
    ignored &= ~(1ull << (SIGPIPE - 1) | 1ull << (SIGXFSZ - 1) | 1ull << (SIGCHLD - 1));
    char *own = format("SigIgn:\t%016llx\n", ignored);
    add_text(text, own);
    free(own);
}

static void add_status(struct text *text)
{
    char *status = contents("/proc/self/status", NULL);
    if (status == NULL)
        usual_way();
    for (char *line = status, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        if (!begins_like(line, lines_of_status, COUNT(lines_of_status)))
            continue;
        if (strncmp(line, "SigIgn:", 7) == 0)
            add_ignored(text, line);
        else
            add(text, line, (size_t)(end + 1 - line));
    }
    free(status);
}

/* Of /proc/self/stat, proc(5), the fields 19, 40 and 41. */
static void add_scheduling(struct text *text)
{
    char *stat = contents("/proc/self/stat", NULL);
    char *word = stat == NULL ? NULL : strrchr(stat, ')');
    if (word == NULL)
        usual_way();
    word = strtok(word + 1, " ");
    for (int field = 3; word != NULL; field++, word = strtok(NULL, " "))
        if (field == 19 || field == 40 || field == 41) {
            add_text(text, word);
            add(text, "\n", 1);
        }
    free(stat);
}

static void add_file(struct text *text, const char *path)
{
    struct stat found;
    if (stat(path, &found) < 0)
        usual_way();
    char *own = format("%llu %llu %lld.%09ld %lld %s\n", (unsigned long long)found.st_dev,
                       (unsigned long long)found.st_ino, (long long)found.st_mtim.tv_sec,
                       found.st_mtim.tv_nsec, (long long)found.st_size, path);
    add_text(text, own);
    free(own);
}

static struct text key_text(const char *usual)
{
    struct text text = {0};
    struct stat root;
    char link[PATH_MAX];
    for (size_t at = 0; at < COUNT(namespaces); at++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[at]);
        ssize_t length = readlink(path, link, sizeof link);
        if (length < 0 && errno == ENOENT)
            continue;
        if (length < 0)
            usual_way();
        add(&text, link, (size_t)length);
        add(&text, "\n", 1);
    }
    add_status(&text);
    for (size_t at = 0; at < COUNT(whole_files); at++) {
        char path[64];
        size_t size = 0;
        snprintf(path, sizeof path, "/proc/self/%s", whole_files[at]);
        char *found = contents(path, &size);
        add_text(&text, whole_files[at]);
        add(&text, "\n", 1);
        if (found != NULL)
            add(&text, found, size);
        free(found);
    }
    add_scheduling(&text);
    if (stat("/proc/self/root", &root) < 0)
        usual_way();
    char *place = format("%llu %llu\n", (unsigned long long)root.st_dev,
                         (unsigned long long)root.st_ino);
    add_text(&text, place);
    free(place);
    ssize_t length = readlink("/proc/self/exe", link, sizeof link - 1);
    if (length < 0)
        usual_way();
    link[length] = '\0';
    add_file(&text, link);
    add_file(&text, usual);
    for (char **variable = environ; *variable != NULL; variable++)
        if (begins_like(*variable, of_interpreter, COUNT(of_interpreter)))
            add(&text, *variable, strlen(*variable) + 1);
    return text;
}

/* ---- Which commands ---- */

static const char *const commands[] = {
    "build", "test",    "package", "push", "submit", "query",    "targets",  "affected", "graph",
    "layers", "why", "inspect", "jobs", "status", "describe", "prefetch", "timeline", "diff",
};

/* Files that are others in each process. */
static int names_descriptor(const char *text)
{
    static const char *const names[] = {"/dev/fd", "/dev/std", "/dev/tty", "/proc/self",
                                        "/proc/thread-self"};
    for (size_t at = 0; at < COUNT(names); at++)
        if (strstr(text, names[at]) != NULL)
            return 1;
    return 0;
}

/* Paths of modules below the working folder: a server has another one. */
static int has_relative_path(const char *paths)
{
    if (*paths == '\0')
        return 0;
    for (;; paths++) {
        if (*paths != '/')
            return 1;
        paths = strchr(paths, ':');
        if (paths == NULL)
            return 0;
    }
}

static int is_ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) < 0 || now.sa_handler == SIG_IGN;
}

static int may_be_served(char **words)
{
    struct stat input;
    int known = 0;
    for (size_t at = 0; at < COUNT(commands); at++)
        known |= strcmp(words[1], commands[at]) == 0;
    /* By SIGHUP the command learns that we have gone. Of a folder Python can not read. */
    if (!known || getuid() != geteuid() || getgid() != getegid() || is_ignored(SIGHUP)
        || fstat(0, &input) < 0 || S_ISDIR(input.st_mode))
        return 0;
    for (char **word = words; *word != NULL; word++)
        if (names_descriptor(*word))
            return 0;
    for (char **variable = environ; *variable != NULL; variable++) {
        const char *value = strchr(*variable, '=');
        if (value == NULL || value == *variable || names_descriptor(value)
            || strncmp(*variable, "_ARGCOMPLETE=", 13) == 0)
            return 0;
        if ((strncmp(*variable, "PYTHONPATH=", 11) == 0 || strncmp(*variable, "PYTHONHOME=", 11) == 0)
            && has_relative_path(value + 1))
            return 0;
    }
    return 1;
}

/* ---- The conversation; `lamina.cli.forkserver` has the other side ---- */

struct request {
    char magic[8];
    uint32_t words, size, umask; /* how many words the first of the texts are; bytes of all */
};

static int connected(const char *key)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE};
    struct ucred peer;
    socklen_t room = sizeof peer;
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "lamina-%u-%s",
                          (unsigned)getuid(), key);
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return -1;
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    /* Anybody may take such a name. */
    if (connect(made, (struct sockaddr *)&name,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0
        && getsockopt(made, SOL_SOCKET, SO_PEERCRED, &peer, &room) == 0 && peer.uid == getuid())
        return made;
    close(made);
    return -1;
}

static int asked(int server, char **words)
{
    struct request request = {.magic = "lamina1"};
    struct text text = {0};
    mode_t mask = umask(0);
    umask(mask);
    request.umask = mask;
    for (; words[request.words] != NULL; request.words++)
        add(&text, words[request.words], strlen(words[request.words]) + 1);
    for (char **variable = environ; *variable != NULL; variable++)
        add(&text, *variable, strlen(*variable) + 1);
    int files[4] = {0, 1, 2, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    int sent = 0;
    if (files[3] >= 0 && text.size <= LARGEST) {
        union {
            struct cmsghdr head;
            char room[CMSG_SPACE(sizeof files)];
        } control = {0};
        request.size = (uint32_t)text.size;
        struct iovec part = {&request, sizeof request};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                                 .msg_controllen = sizeof control.room};
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof files);
        memcpy(CMSG_DATA(&control.head), files, sizeof files);
        sent = sendmsg(server, &message, MSG_NOSIGNAL) == (ssize_t)sizeof request;
        for (size_t done = 0; sent && done < text.size;) {
            ssize_t more = send(server, text.at + done, text.size - done, MSG_NOSIGNAL);
            sent = more > 0;
            done += sent ? (size_t)more : 0;
        }
    }
    if (files[3] >= 0)
        close(files[3]);
    free(text.at);
    return sent;
}

/* A pidfd of the process that is ready to be the command; -1 where there is none. */
static int ready(int server)
{
    char letter = 0;
    int process = -1;
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof process)];
    } control = {0};
    struct iovec part = {&letter, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control.room};
    if (recvmsg(server, &message, MSG_CMSG_CLOEXEC) == 1 && letter == 'R'
        && message.msg_controllen >= CMSG_LEN(sizeof process) && control.head.cmsg_type == SCM_RIGHTS)
        memcpy(&process, CMSG_DATA(&control.head), sizeof process);
    return process;
}

/* ---- The command runs; this process is what its caller knows of it ---- */

static void hand_on(int process, int number, int to_all)
{
    if (to_all && syscall(SYS_pidfd_send_signal, process, number, NULL, WHOLE_GROUP) == 0)
        return;
    if (!to_all || errno == EINVAL)
        syscall(SYS_pidfd_send_signal, process, number, NULL, 0);
}

static void stop_with(int process)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGTSTP);
    hand_on(process, SIGSTOP, 1);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &one, NULL); /* here this process stops */
    sigprocmask(SIG_BLOCK, &one, NULL);
    hand_on(process, SIGCONT, 1);
}

static void hand_on_next(int signals, int process)
{
    struct signalfd_siginfo told;
    if (read(signals, &told, sizeof told) != (ssize_t)sizeof told)
        return;
    int number = (int)told.ssi_signo;
    if (number == SIGTSTP)
        stop_with(process);
    else
        hand_on(process, number, told.ssi_code == FROM_TERMINAL || number == SIGCONT);
}

static sigset_t forwarded(void)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGUSR1, SIGUSR2, SIGTSTP,
                              SIGCONT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t at = 0; at < COUNT(all); at++)
        if (!is_ignored(all[at]))
            sigaddset(&set, all[at]);
    return set;
}

/* What became of a command: `E` and its exit code from itself, `S` and its wait status from the server. */
struct end {
    char kind;
    int32_t value;
};

/* Read what has come; 0 where no more can. A byte and four are one word each, and never parted. */
static int hear(int server, struct end *end)
{
    char word[5];
    ssize_t length;
    while ((length = recv(server, word, sizeof word, MSG_DONTWAIT)) == (ssize_t)sizeof word) {
        end->kind = word[0];
        memcpy(&end->value, word + 1, sizeof end->value);
    }
    return length < 0 && (errno == EAGAIN || errno == EINTR);
}

_Noreturn static void end_like(const struct end *end)
{
    if (end->kind == 'E')
        _exit(end->value);
    if (end->kind == 'S' && WIFEXITED(end->value))
        _exit(WEXITSTATUS(end->value));
    if (end->kind == 'S' && WIFSIGNALED(end->value)) {
        int number = WTERMSIG(end->value);
        struct rlimit none = {0};
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, number);
        setrlimit(RLIMIT_CORE, &none); /* that of the command is the one of interest */
        signal(number, SIG_DFL);
        raise(number);
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        _exit(128 + number);
    }
    dprintf(2, "error: what became of this command is not known: it was ended, and so was the server\n"
               "hint: run it again; `lamina server start` starts another server\n");
    _exit(2);
}

_Noreturn static void wait_for(int server, int process, int signals)
{
    struct end end = {0};
    struct pollfd all[] = {{.fd = signals, .events = POLLIN},
                           {.fd = process, .events = POLLIN},
                           {.fd = server, .events = POLLIN}};
    for (int is_over = 0;;) {
        int count = poll(all, 3, is_over ? PATIENCE * 1000 : -1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count > 0 && all[0].revents != 0)
            hand_on_next(signals, process);
        if (count > 0 && all[1].revents != 0) {
            is_over = 1;
            all[1].fd = -1;
        }
        if (all[2].fd >= 0 && (is_over || all[2].revents != 0) && !hear(server, &end))
            all[2].fd = -1;
        if (end.kind != 0 || (is_over && (all[2].fd < 0 || count <= 0)))
            end_like(&end);
    }
}

void by_server(char **words, const char *usual)
{
    char key[65];
    int is_about_servers = strcmp(words[1], "server") == 0;
    if (!is_about_servers && !may_be_served(words))
        return;
    struct text text = key_text(usual);
    blake2s(text.at, text.size, key);
    free(text.at);
    if (is_about_servers) {
        setenv("LAMINA_SERVER_KEY", key, 1);
        return;
    }
    int server = connected(key);
    if (server < 0)
        return;
    int process = asked(server, words) ? ready(server) : -1;
    sigset_t before, set = forwarded();
    sigprocmask(SIG_BLOCK, &set, &before);
    int signals = process < 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    /* From here on the command runs, and may not be started again. */
    if (signals >= 0 && send(server, "G", 1, MSG_NOSIGNAL) == 1)
        wait_for(server, process, signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(server);
}

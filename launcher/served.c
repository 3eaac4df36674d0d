/* Layers that processes serve, for who may not mount images: `lamina.node.served`, `keeper`. */

#define _GNU_SOURCE
#include "launcher.h"
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#define DEVICE 3 /* where a server finds its connection */
#define IMAGE 4 /* and its image, where that has no name */

static void write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
        usual_way();
    close(file);
}

static int may_mount(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (geteuid() != 0)
        return 0;
    return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1U << CAP_SYS_ADMIN;
}

static int in_user_namespace(void)
{
    unsigned long inside, outside, count;
    char *map = contents("/proc/self/uid_map", NULL);
    return map != NULL && (sscanf(map, "%lu %lu %lu", &inside, &outside, &count) != 3 || inside != 0
        || outside != 0 || count != 4294967295);
}

/* A user namespace in which this process stays who it is. */
static void own_user(void)
{
    char *user = format("%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    char *group = format("%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (unshare(CLONE_NEWUSER) < 0)
        usual_way();
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", user);
    write_text("/proc/self/gid_map", group);
}

/* ---- the keeper and its servers: from here on no usual way, they are not this program ---- */

struct server {
    int device; /* -1: a folder, which needs none */
    int image; /* of an image that has no name, else -1 */
    char *words[7];
};

static int is_kept(int descriptor, int begin, const struct server *servers, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (servers[at].device == descriptor || servers[at].image == descriptor)
            return 1;
    return descriptor == begin;
}

/* Let go of the caller's files: who reads its output must not wait for the keeper's end. */
static void forget_the_caller(int begin, const struct server *servers, size_t count)
{
    int null = open("/dev/null", O_RDWR), last = begin;
    for (int standard = 0; standard < 3; standard++)
        if (dup2(null, standard) < 0)
            _exit(127);
    for (size_t at = 0; at < count; at++) {
        last = servers[at].device > last ? servers[at].device : last;
        last = servers[at].image > last ? servers[at].image : last;
    }
    for (int descriptor = 3; descriptor < last; descriptor++)
        if (!is_kept(descriptor, begin, servers, count))
            close(descriptor);
    if (close_range_((unsigned)last + 1) < 0)
        for (int descriptor = last + 1; descriptor < sysconf(_SC_OPEN_MAX); descriptor++)
            close(descriptor);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    for (size_t at = 0; at < sizeof signals / sizeof *signals; at++)
        signal(signals[at], SIG_DFL);
    if (chdir("/") < 0)
        _exit(127);
}

static void serve(const struct server *server)
{
    pid_t keeper = getpid();
    if (fork() != 0)
        return;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == keeper) { /* else it died before the call above could tell of it */
        int away = fcntl(server->device, F_DUPFD_CLOEXEC, IMAGE + 1);
        int image = server->image < 0 ? -1 : fcntl(server->image, F_DUPFD_CLOEXEC, IMAGE + 1);
        if (away >= 0 && dup2(away, DEVICE) == DEVICE && (image < 0 || dup2(image, IMAGE) == IMAGE))
            execv(server->words[0], server->words);
    }
    _exit(127);
}

static _Noreturn void keep(int begin, const struct server *servers, size_t count)
{
    char byte;
    forget_the_caller(begin, servers, count);
    if (read(begin, &byte, 1) == 1) /* else the caller has ended */
        for (size_t at = 0; at < count; at++)
            if (servers[at].device >= 0) {
                serve(&servers[at]);
                close(servers[at].device);
            }
    while (wait(NULL) >= 0 || errno == EINTR)
        continue;
    _exit(0);
}

/* ---- the caller again ---- */

/* Start a keeper of these servers; they begin when a byte is written to what comes back. */
static int ready(const struct server *servers, size_t count)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        usual_way();
    pid_t child = fork();
    if (child < 0)
        usual_way();
    if (child == 0) {
        if (setsid() >= 0 && fork() == 0)
            keep(ends[0], servers, count);
        _exit(0);
    }
    close(ends[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return ends[1];
}

static void check(const struct image *image)
{
    struct stat found;
    if (stat(image->path, &found) < 0 || !is_as_it_was(&found, image->state))
        usual_way();
}

static struct server *servers_of(const struct start *start)
{
    struct server *all = calloc(start->images, sizeof *all);
    if (all == NULL)
        usual_way();
    for (size_t at = 0; at < start->images; at++) {
        const struct image *image = &start->image[at];
        all[at].device = -1;
        all[at].image = image->opened;
        if (image->kind == FOLDER)
            continue;
        all[at].device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (all[at].device < DEVICE)
            usual_way();
        const char *path = image->opened < 0 ? image->path : "/dev/fd/4";
        char *words[] = {(char *)start->server, "-f", "-o", format("offset=%llu", image->offset),
                         (char *)path, "/dev/fd/3", NULL};
        memcpy(all[at].words, words, sizeof words);
    }
    return all;
}

/* Until the server answers every access waits; when the last copy of the device closes, it fails. */
static int connected(int device, const char *source)
{
    int context = new_file_system("fuse");
    set(context, "source", source);
    set(context, "fd", format("%d", device));
    set(context, "rootmode", "40000");
    set(context, "user_id", format("%u", (unsigned)geteuid()));
    set(context, "group_id", format("%u", (unsigned)getegid()));
    set(context, "default_permissions", NULL);
    set(context, "allow_other", NULL);
    return made(context, READ_ONLY);
}

int served(const struct start *start)
{
    int *layers = calloc(start->images, sizeof *layers);
    if (layers == NULL)
        usual_way();
    for (size_t at = 0; at < start->images; at++)
        check(&start->image[at]);
    if (!may_mount())
        own_user();
    struct server *servers = servers_of(start);
    /* The keeper and the servers must not hold the mount namespace that they serve. */
    int begin = ready(servers, start->images);
    own_mounts();
    for (size_t at = 0; at < start->images; at++)
        layers[at] = servers[at].device < 0 ? open_folder(start->image[at].path)
                                            : connected(servers[at].device, start->image[at].path);
    if (write(begin, "1", 1) != 1)
        usual_way();
    close(begin);
    for (size_t at = 0; at < start->images; at++)
        if (servers[at].device >= 0)
            close(servers[at].device);
    int top = stacked(layers, start->images, in_user_namespace());
    struct statvfs found;
    if (fstatvfs(top, &found) < 0) /* no server answers */
        usual_way();
    return top;
}

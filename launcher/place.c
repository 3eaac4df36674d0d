#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char *said(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* $VARIABLE, else a folder of the user's home. */
static char *folder_of(const char *variable, const char *below)
{
    if (said(variable) != NULL)
        return format("%s", said(variable));
    if (said("HOME") == NULL)
        usual_way();
    return format("%s/%s", said("HOME"), below);
}

char *store_folder(void)
{
    char *folder = said("LAMINA_STORE") != NULL
                       ? format("%s", said("LAMINA_STORE"))
                       : format("%s/lamina", folder_of("XDG_CACHE_HOME", ".cache"));
    if (strstr(folder, "..") != NULL) /* where there are links, Python and the kernel differ in it */
        usual_way();
    return folder;
}

static int may_be_there(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* Whether the nearest workspace around says a word of trust, or can not be read. */
static int workspace_may_have_one(void)
{
    char folder[PATH_MAX];
    if (getcwd(folder, sizeof folder) == NULL || folder[0] != '/')
        usual_way();
    if (folder[1] == '\0')
        folder[0] = '\0';
    for (;;) {
        char *path = format("%s/lamina.toml", folder);
        if (may_be_there(path)) {
            size_t size;
            char *text = contents(path, &size);
            return text == NULL || memmem(text, size, "trust", 5) != NULL;
        }
        if (folder[0] == '\0')
            return 0;
        *strrchr(folder, '/') = '\0';
    }
}

int policy_may_be_in_force(void)
{
    if (said("LAMINA_POLICY") != NULL)
        return 1;
    return may_be_there(format("%s/lamina/policy.toml", folder_of("XDG_CONFIG_HOME", ".config")))
        || may_be_there("/etc/lamina/policy.toml") || workspace_may_have_one();
}

/* Whether a group, or one above it, has little memory, by a file that lies in the folders of groups. */
static int is_scarce(const char *tree, const char *group, const char *file)
{
    char *folder = format("%s", strcmp(group, "/") == 0 ? "" : group);
    for (;;) {
        char *limit = contents(format("/sys/fs/cgroup%s%s/%s", tree, folder, file), NULL);
        if (limit != NULL && *limit >= '0' && *limit <= '9' && strtoull(limit, NULL, 10) < 4ULL << 30)
            return 1;
        if (*folder == '\0')
            return 0;
        *strrchr(folder, '/') = '\0';
    }
}

static int has_word(char *words, const char *wanted)
{
    for (char *word = strtok(words, ","); word != NULL; word = strtok(NULL, ","))
        if (strcmp(word, wanted) == 0)
            return 1;
    return 0;
}

int memory_is_scarce(void)
{
    char *rest = contents("/proc/self/cgroup", NULL);
    for (char *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        strsep(&line, ":");
        char *controllers = strsep(&line, ":");
        if (line == NULL || *line != '/' || strstr(line, "/..") != NULL)
            usual_way();
        if (*controllers == '\0') {
            if (is_scarce("", line, "memory.max") || is_scarce("/unified", line, "memory.max"))
                return 1;
        } else if (has_word(controllers, "memory")) {
            if (is_scarce("/memory", line, "memory.limit_in_bytes"))
                return 1;
        }
    }
    return 0;
}

/* A file that is there, opened for writing and locked with others. */
static int locked(char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    free(path);
    if (file < 0 || flock(file, LOCK_SH) < 0)
        usual_way();
    return file;
}

int leased(const char *store, const char *package)
{
    int lock = locked(format("%s/gc.lock", store));
    int lease = locked(format("%s/leases/%s", store, package));
    if (utimensat(AT_FDCWD, format("%s/used/%s", store, package), NULL, 0) < 0)
        usual_way();
    close(lock);
    return lease;
}

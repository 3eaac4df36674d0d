#define _GNU_SOURCE
#include "launcher.h"
#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define SYMLINK_NOFOLLOW 0x100
#define RECURSIVE 0x8000

static int made_folder(int at, const char *name)
{
    int folder = mkdirat(at, name, 0755) < 0 ? -1 : openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        usual_way();
    return folder;
}

/* Attach a mount in a folder of the new root, at a new place of its kind. */
static void show(int mount, int at, const char *name)
{
    struct stat found;
    if (fstat(mount, &found) < 0)
        usual_way();
    if (S_ISDIR(found.st_mode)) {
        if (mkdirat(at, name, 0755) < 0)
            usual_way();
    } else {
        int file = openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0777);
        if (file < 0)
            usual_way();
        close(file);
    }
    if (move_mount_(mount, at, name) < 0)
        usual_way();
    close(mount);
}

struct entries {
    int folder, count;
    struct dirent **all;
};

/* Those of a folder of the present root, in order of their names; none where it is not there. */
static struct entries entries_of(const char *path)
{
    struct entries found = {.folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (found.folder < 0 && errno == ENOENT)
        return found;
    found.count = found.folder < 0 ? -1 : scandir(path, &found.all, NULL, alphasort);
    if (found.count < 0)
        usual_way();
    return found;
}

/* Show an entry of a folder of the present root; one that may not be copied is left out. */
static void show_entry(int from, const char *name, int at)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length >= 0) {
        target[length] = '\0';
        if (symlinkat(target, at, name) < 0)
            usual_way();
        return;
    }
    if (errno != EINVAL && errno != ENOENT) /* it is no symlink, or has gone */
        usual_way();
    int mount = open_tree_(from, name, SYMLINK_NOFOLLOW | RECURSIVE);
    if (mount >= 0)
        show(mount, at, name);
    else if (errno != EACCES && errno != EPERM && errno != ENOENT)
        usual_way();
}

static void show_all(const struct entries *from, const char *skip, int at)
{
    for (int number = 0; number < from->count; number++) {
        const char *name = from->all[number]->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, skip) != 0)
            show_entry(from->folder, name, at);
    }
}

/* As `namespaces._pivot`; -1 where it fails. The working folder is another one then. */
static int pivot(int root)
{
    struct mount_attr wanted = {.attr_set = READ_ONLY};
    if (mount_setattr_(root, 0, &wanted) < 0 || fchdir(root) < 0)
        return -1;
    return pivot_root_(".", ".") == 0 ? umount2(".", MNT_DETACH) : chroot(".");
}

void enter_root(const char *title, int mount)
{
    char folder[PATH_MAX];
    if (getcwd(folder, sizeof folder) == NULL)
        strcpy(folder, "/");
    struct entries old = entries_of("/"), others = entries_of("/packages");
    int root = memory_file_system("0755");
    if (move_mount_(root, AT_FDCWD, "/") < 0)
        usual_way();
    show_all(&old, "packages", root);
    int shelf = made_folder(root, "packages");
    show_all(&others, title, shelf);
    show(mount, shelf, title);
    int entered = pivot(root);
    if ((chdir(folder) < 0 && chdir("/") < 0) || entered < 0)
        usual_way();
}

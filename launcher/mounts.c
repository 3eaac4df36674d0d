#define _GNU_SOURCE
#include "launcher.h"
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef STACK_BY_NAMES /* for who tries what old kernels do */
#define STACK_BY_NAMES 0
#endif

void set(int context, const char *key, const char *value)
{
    if (fsconfig_(context, value != NULL ? SET_STRING : SET_FLAG, key, value, 0) < 0)
        usual_way();
}

int made(int context, unsigned attributes)
{
    if (fsconfig_(context, CREATE, NULL, NULL, 0) < 0)
        usual_way();
    int mount = fsmount_(context, attributes);
    if (mount < 0)
        usual_way();
    close(context);
    return mount;
}

int new_file_system(const char *kind)
{
    int context = fsopen_(kind);
    if (context < 0)
        usual_way();
    return context;
}

int memory_file_system(const char *mode)
{
    int context = new_file_system("tmpfs");
    set(context, "mode", mode);
    return made(context, MOUNT_ATTR_NOSUID);
}

/* ---- loop devices; `lamina.linux.loop` says why it is done this way ---- */

#define DEVICES "/sys/devices/virtual/block"
#define FLAGS (LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR)
#define ATTEMPTS 1000 /* another process may take the same device in between */

struct bound {
    char *name, *device; /* the last part of the name of its file; as a path */
};

/* Loop devices that have a file, as far as one sees; ends where there is no name. */
static struct bound *bound(void)
{
    size_t count = 0;
    /* A machine can have hundreds of devices, of which next to none has a file, and so a size. */
    char *rest = contents("/proc/partitions", NULL);
    struct bound *all = calloc(1, sizeof *all);
    for (char *line; all != NULL && rest != NULL && (line = strsep(&rest, "\n")) != NULL;) {
        char *device = strrchr(line, ' ');
        if (device == NULL || strncmp(++device, "loop", 4) != 0)
            continue;
        char *path = format(DEVICES "/%s/loop/backing_file", device), *file = contents(path, NULL);
        free(path);
        if (file == NULL) /* it has gone meanwhile, or is a partition */
            continue;
        file[strcspn(file, "\n")] = '\0';
        char *slash = strrchr(file, '/');
        if ((all = realloc(all, (count + 2) * sizeof *all)) == NULL)
            break;
        all[count].name = slash != NULL ? slash + 1 : file;
        all[count++].device = format("/dev/%s", device);
        all[count].name = NULL;
    }
    if (all == NULL)
        usual_way();
    return all;
}

/* The device, opened, if it shows that file from there on; else -1. */
static int same(const char *path, const struct stat *image, unsigned long long offset)
{
    struct loop_info64 told;
    int device = open(path, O_RDONLY | O_CLOEXEC);
    if (device < 0)
        return -1;
    if (ioctl(device, LOOP_GET_STATUS64, &told) == 0 && told.lo_device == image->st_dev
        && told.lo_inode == image->st_ino && told.lo_offset == offset && told.lo_sizelimit == 0
        && told.lo_flags == FLAGS)
        return device;
    close(device);
    return -1;
}

static int attach(int image, const char *name, unsigned long long offset, char **path)
{
    struct loop_config config = {.fd = (unsigned)image};
    config.info.lo_offset = offset;
    config.info.lo_flags = FLAGS;
    size_t length = strlen(name);
    const char *end = length > LO_NAME_SIZE - 1 ? name + length - (LO_NAME_SIZE - 1) : name;
    strncpy((char *)config.info.lo_file_name, end, LO_NAME_SIZE - 1);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    for (int attempt = 0; control >= 0 && attempt < ATTEMPTS; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        *path = format("/dev/loop%d", number);
        int device = open(*path, O_RDONLY | O_CLOEXEC);
        if (device < 0)
            break;
        if (ioctl(device, LOOP_CONFIGURE, &config) == 0) {
            close(control);
            return device;
        }
        if (errno != EBUSY)
            break;
        close(device);
    }
    usual_way();
}

/* ---- layers; `lamina.node.attach` ---- */

static int folder(int opened)
{
    struct mount_attr wanted = {.attr_set = READ_ONLY};
    int mount = open_tree_(opened, "", AT_EMPTY_PATH);
    if (mount < 0 || mount_setattr_(mount, 0, &wanted) < 0)
        usual_way();
    return mount;
}

int open_folder(const char *path)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
    if (opened < 0)
        usual_way();
    int mount = folder(opened);
    close(opened);
    return mount;
}

static int from_device(int opened, const struct image *image, const struct stat *found,
                       const struct bound *others)
{
    const char *slash = strrchr(image->path, '/');
    char *path = NULL;
    int device = -1;
    for (; others->name != NULL && device < 0; others++)
        if (strcmp(others->name, slash != NULL ? slash + 1 : image->path) == 0) {
            path = others->device;
            device = same(path, found, image->offset);
        }
    if (device < 0)
        device = attach(opened, image->path, image->offset, &path);
    int context = new_file_system(image->kind == EROFS ? "erofs" : "squashfs");
    set(context, "source", path);
    set(context, "ro", NULL);
    int mount = made(context, READ_ONLY);
    close(device); /* it lives as long as something is mounted from it */
    return mount;
}

/* EROFS from its file, where the kernel can do that; else -1. */
static int from_file(int opened)
{
    char source[40];
    snprintf(source, sizeof source, "/proc/self/fd/%d", opened);
    int context = new_file_system("erofs");
    set(context, "source", source);
    set(context, "ro", NULL);
    if (fsconfig_(context, CREATE, NULL, NULL, 0) == 0) {
        int mount = fsmount_(context, READ_ONLY);
        if (mount < 0)
            usual_way();
        close(context);
        return mount;
    }
    if (errno != ENOTBLK && errno != EINVAL && errno != ENOENT)
        usual_way();
    close(context);
    return -1;
}

static int layer(const struct image *image, const struct bound *others)
{
    struct stat found;
    int opened = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0 || fstat(opened, &found) < 0 || !is_as_it_was(&found, image->state))
        usual_way();
    int mount = -1;
    if (image->kind == FOLDER)
        mount = folder(opened);
    else if (image->kind == EROFS)
        mount = from_file(opened);
    if (mount < 0)
        mount = from_device(opened, image, &found, others);
    close(opened);
    return mount;
}

/* An overlay of layers by their descriptors; -1 where this kernel can not do that. */
static int by_descriptors(const int *layers, size_t count, int in_user_namespace)
{
    int context = new_file_system("overlay");
    if (in_user_namespace)
        set(context, "userxattr", NULL);
    for (size_t at = count; at-- > 0;) /* the kernel wants the top first */
        if (fsconfig_(context, SET_FD, "lowerdir+", NULL, layers[at]) < 0) {
            close(context);
            return -1;
        }
    if (fsconfig_(context, CREATE, NULL, NULL, 0) < 0) {
        close(context);
        return -1;
    }
    int top = fsmount_(context, READ_ONLY);
    if (top < 0)
        usual_way();
    close(context);
    return top;
}

/* Attach the layers under short names in this folder, and stack them there; -1 where that fails. */
static int attached(const int *layers, size_t count, int in_user_namespace)
{
    char *options = format("userxattr,lowerdir=");
    for (size_t at = count; at-- > 0;) {
        char name[20];
        struct stat found;
        snprintf(name, sizeof name, "%zx", at);
        fstat(layers[at], &found); /* before Linux 6.7 for each layer */
        if (mkdir(name, 0700) < 0 || move_mount_(layers[at], AT_FDCWD, name) < 0)
            return -1;
        options = format("%s%s%s", options, name, at > 0 ? ":" : "");
    }
    const char *own = in_user_namespace ? options : options + sizeof "userxattr," - 1;
    if (mkdir("stack", 0700) < 0
        || mount("overlay", "stack", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, own) < 0)
        return -1;
    return open_tree_(AT_FDCWD, "stack", 0);
}

/* Before Linux 6.15 only what is attached can be stacked, before 6.5 only by one option string.
 *
 * So it is attached for that moment, on top of the root, where no path leads; what is stacked holds
 * its layers when they are detached again. Python is to find this process in its own folder.
 */
static int by_names(const int *layers, size_t count, int in_user_namespace)
{
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), folder = memory_file_system("0700");
    if (here < 0 || move_mount_(folder, AT_FDCWD, "/") < 0 || fchdir(folder) < 0)
        usual_way();
    int top = attached(layers, count, in_user_namespace);
    int is_detached = umount2(".", MNT_DETACH) == 0;
    if (fchdir(here) < 0 || !is_detached || top < 0)
        usual_way();
    close(here);
    close(folder);
    return top;
}

int stacked(int *layers, size_t count, int in_user_namespace)
{
    if (count == 1)
        return layers[0];
    struct stat found;
    fstat(layers[count - 1], &found); /* as `lamina.node.stack` does */
    int top = STACK_BY_NAMES ? -1 : by_descriptors(layers, count, in_user_namespace);
    if (top < 0)
        top = by_names(layers, count, in_user_namespace);
    for (size_t at = 0; at < count; at++)
        close(layers[at]);
    return top;
}

void own_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        usual_way();
}

int mounted(const struct start *start)
{
    int *layers = calloc(start->images, sizeof *layers);
    if (layers == NULL)
        usual_way();
    own_mounts();
    struct bound *others = bound();
    for (size_t at = 0; at < start->images; at++)
        layers[at] = layer(&start->image[at], others);
    return stacked(layers, start->images, 0);
}

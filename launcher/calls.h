/* System calls that C libraries of some age lack: thin, and with the constants they need.
 *
 * Calls since Linux 5.2 have one number on every architecture. Descriptors are close-on-exec.
 */

#ifndef LAMINA_CALLS_H
#define LAMINA_CALLS_H

#include <linux/loop.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SET_FLAG = 0, SET_STRING = 1, SET_FD = 5, CREATE = 6 };

/* Of what is mounted for a program: no setuid program in it gives rights, no device opens. */
#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

#define OPEN_TREE_CLONE_ 1
#define CLOSE_ON_EXEC 02000000 /* O_CLOEXEC on all that Linux runs on but Alpha, PA-RISC, SPARC */
#define F_EMPTY_PATH 4
#define T_EMPTY_PATH 0x40

static inline int fsopen_(const char *kind)
{
    return (int)syscall(430, kind, 1);
}

static inline int fsconfig_(int context, unsigned command, const char *key, const void *value, int aux)
{
    return (int)syscall(431, context, command, key, value, aux);
}

static inline int fsmount_(int context, unsigned attributes)
{
    return (int)syscall(432, context, 1, attributes);
}

static inline int open_tree_(int at, const char *path, unsigned flags)
{
    return (int)syscall(428, at, path, OPEN_TREE_CLONE_ | CLOSE_ON_EXEC | flags);
}

static inline int move_mount_(int source, int at, const char *target)
{
    return (int)syscall(429, source, "", at, target, F_EMPTY_PATH | (*target == '\0' ? T_EMPTY_PATH : 0));
}

static inline int mount_setattr_(int mount, unsigned flags, struct mount_attr *wanted)
{
    return (int)syscall(442, mount, "", 0x1000 | flags, wanted, sizeof *wanted);
}

static inline int close_range_(unsigned first)
{
    return (int)syscall(436, first, ~0U, 0);
}

static inline int pivot_root_(const char *new_root, const char *old_root)
{
    return (int)syscall(SYS_pivot_root, new_root, old_root);
}

#endif

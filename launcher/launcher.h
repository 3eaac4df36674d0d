/* The command `lamina` as a native program: starts again what was started before.
 *
 * It does what `lamina.node.warm` does, without an interpreter, for the commonest of those starts:
 * `lamina exec` of a package that the user has started before, outside a container. All else, and
 * whatever is not as it was or fails, is left to the program in Python, which this one becomes: it
 * finds out what is wrong, and says it. So nothing here reports errors, and nothing here has to be
 * undone: what it holds are open files that end with it.
 */

#ifndef LAMINA_LAUNCHER_H
#define LAMINA_LAUNCHER_H

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>

/* Become the program in Python, with the words and the environment of this process. */
_Noreturn void usual_way(void);

/* `text`, or the usual way where memory or space has run out. */
char *format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));

/* All of a file as text that ends with NUL; NULL where it can not be read. */
char *contents(const char *path, size_t *size);

/* ---- record.c: what a start came to, as `lamina.store.starts` keeps it ---- */

enum kind { SQUASHFS, EROFS, FOLDER };

struct image {
    const char *path;
    enum kind kind;
    unsigned long long offset; /* bytes, from which on the file has a file system */
    const char *state;
    int opened; /* its descriptor where it is a file of memory, which has no name; else -1 */
};

struct fact {
    const char *kind, *of, *value;
};

struct texts {
    size_t count;
    char **all; /* and NULL after the last */
};

struct start {
    const char *package, *title;
    const char *server; /* the program that serves images; empty where the kernel reads them */
    struct texts arguments, variables, notes;
    struct texts launcher; /* its text before an interpreter and behind it, and what that starts; or none */
    size_t images, facts, large;
    struct image *image; /* bottom first */
    struct fact *fact;
    const char **large_image, **folder; /* large images, and where they may become folders */
};

/* Whether a store has a record of words of `lamina exec`. */
int has_record(const char *store, size_t count, char **words);

/* The record of words of `lamina exec`, from a store. */
struct start read_record(const char *store, size_t count, char **words);

/* What tells a file from what it was before. */
char *state_of(const struct stat *found);

/* Whether a file is what it was. */
int is_as_it_was(const struct stat *found, const char *state);

/* Whether all that had a say in the start, but the images, still says the same. */
int facts_hold(const struct start *start);

/* BLAKE2s, https://www.rfc-editor.org/rfc/rfc7693, as 64 hexadecimal digits. */
void blake2s(const void *data, size_t size, char digits[65]);

/* ---- edit.c: what came with a job over a start of the package before ---- */

/* The start of words of `lamina exec` that no record is of. */
struct start edited(const char *store, size_t count, char **words);

/* ---- place.c: this machine and user, as far as they have a say ---- */

/* Where the store lies; `lamina.store.place`. */
char *store_folder(void);

/* Whether a policy may be in force here; `lamina.store.trust.places`. */
int policy_may_be_in_force(void);

/* Whether another small process could break a limit of memory; `lamina.linux.group`. */
int memory_is_scarce(void);

/* The descriptor of a lease on a package; `lamina.store.claim`. */
int leased(const char *store, const char *package);

/* ---- mounts.c: layers as one tree ---- */

/* A detached mount of the images, in a mount namespace of this process. */
int mounted(const struct start *start);

/* A mount namespace of this process, from which no mount travels. */
void own_mounts(void);

/* A configuration context, an option of it (NULL: one without a value), and its detached mount. */
int new_file_system(const char *kind);
void set(int context, const char *key, const char *value);
int made(int context, unsigned attributes);

/* A detached mount of a new file system of memory. */
int memory_file_system(const char *mode);

/* A detached mount of a folder, to be read alone. */
int open_folder(const char *path);

/* A detached mount of layers, the lowest first, which are closed. */
int stacked(int *layers, size_t count, int in_user_namespace);

/* ---- python.c: programs in Python ---- */

/* Become the program of a start, whose words and environment these are, where its launcher is
 * as the record has it; returns else. In the new root. */
void start_python(const struct start *start, char **words, char **variables);

/* ---- served.c: the same, by processes ---- */

/* As `mounted`; who may not mount is in a user namespace of its own after that. */
int served(const struct start *start);

/* ---- root.c ---- */

/* Exchange the root for one that shows a mount below /packages; `namespaces.enter_root`. */
void enter_root(const char *title, int mount);

/* ---- server.c: other commands, by a process that has all modules ---- */

/* Be the caller of a command that a server runs, to its end. Returns where that is not to be, or
 * there is no server for such a process; what `lamina server` needs is in the environment then. */
void by_server(char **words, const char *usual);

/* ---- report.c: the times of the steps, as `lamina.node.report` tells them ---- */

enum step { BEGIN, PULLED, MOUNTED, STARTED, STEPS };

struct report {
    int folder; /* -1: none is asked for */
    const char *name;
    double at[STEPS]; /* seconds since the epoch */
};

struct report report_wanted(const char *path);
void told(struct report *report, enum step step);
void write_report(const struct report *report);

#endif

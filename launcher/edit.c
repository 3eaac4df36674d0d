/* A package that came with a job as an edit: one before it, with an image over what that mounts.
 *
 * `lamina.formats.edit` tells the form, `lamina.packaging.over` when a package is one. Nothing is
 * written for such a start: the image is a file of memory, and the next edit is one of the same
 * packages before. When there are too many of them, Python finds all out, and that is the next one.
 */

#define _GNU_SOURCE
#include "launcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FORM "1"
#define BLOCK 4096 /* of an image, and more than a device needs */

struct edit {
    char *over; /* hashes of packages before, with + between */
    const char *package, *version;
    char *image; /* in base64 */
};

static int is_made_of(const char *text, const char *letters, size_t least, size_t most)
{
    size_t length = strlen(text);
    return length >= least && length <= most && strspn(text, letters) == length;
}

static int is_hash(const char *text)
{
    return is_made_of(text, "0123456789abcdef", 64, 64);
}

/* It becomes the name of a folder. */
static int is_version(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return is_made_of(text, letters, 1, 128) && *text != '.' && *text != '-';
}

static struct edit edit_of(const char *carried)
{
    struct edit found;
    char digits[65], *text = carried != NULL ? strchr(carried, ',') : NULL;
    if (text == NULL || (text = strdup(text + 1)) == NULL)
        usual_way();
    const char *form = strsep(&text, ":");
    found.over = strsep(&text, ":");
    found.package = strsep(&text, ":");
    found.version = strsep(&text, ":");
    const char *check = strsep(&text, ":");
    if ((found.image = text) == NULL || strcmp(form, FORM) != 0 || !is_hash(found.package)
        || !is_version(found.version))
        usual_way();
    blake2s(text, strlen(text), digits);
    if (strcmp(digits, check) != 0)
        usual_way();
    return found;
}

/* The words with a package before in place of the one that they name. */
static char **words_before(const char *over, const struct edit *edit, size_t count, char **words)
{
    char **found = calloc(count + 1, sizeof *found), *end = format("@sha256:%s", edit->package);
    size_t met = 0, length = strlen(end);
    if (found == NULL)
        usual_way();
    for (size_t at = 0; at < count; at++) {
        size_t size = strlen(words[at]);
        found[at] = words[at];
        if (size > length && strcmp(words[at] + size - length, end) == 0) {
            found[at] = format("%.*s@sha256:%s", (int)(size - length), words[at], over);
            met++;
        }
    }
    free(end);
    if (met != 1)
        usual_way();
    return found;
}

/* Let a text name the new title where it names the old one: `/packages/<title>`, and what follows. */
static void rename_in(char **text, const char *before, const char *old, const char *new)
{
    size_t length = strlen(before), size = strlen(old);
    if (strncmp(*text, before, length) != 0 || strncmp(*text + length, old, size) != 0
        || ((*text)[length + size] != '\0' && (*text)[length + size] != '/'))
        usual_way();
    *text = format("%s%s%s", before, new, *text + length + size);
}

static char **variable(const struct start *start, const char *name)
{
    size_t length = strlen(name);
    for (size_t at = start->variables.count; at-- > 0;) /* the last one holds */
        if (strncmp(start->variables.all[at], name, length) == 0)
            return &start->variables.all[at];
    usual_way();
}

/* A title is the name of a program, and its version. */
static void rename_all(struct start *start, const char *version)
{
    char **told = variable(start, "LAMINA_VERSION="), *old = strchr(*told, '=') + 1;
    size_t size = strlen(start->title), length = strlen(old);
    if (size < length + 2 || start->title[size - length - 1] != '-'
        || strcmp(start->title + size - length, old) != 0)
        usual_way();
    char *title = format("%.*s%s", (int)(size - length), start->title, version);
    rename_in(&start->arguments.all[0], "/packages/", start->title, title);
    rename_in(variable(start, "LAMINA_PACKAGE="), "LAMINA_PACKAGE=/packages/", start->title, title);
    *told = format("LAMINA_VERSION=%s", version);
    start->title = title;
}

/* ---- the image ---- */

static int value_of(char letter)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
    return found != NULL ? (int)(found - letters) : -1;
}

/* Bytes from base64 (RFC 4648), in place of the letters; how many they are. */
static size_t decoded(char *text)
{
    size_t length = strlen(text), size = 0;
    unsigned char *to = (unsigned char *)text;
    if (length == 0 || length % 4 != 0)
        usual_way();
    for (size_t at = 0; at < length; at += 4) {
        int fill = at + 4 < length ? 0 : (text[at + 3] == '=') + (text[at + 3] == '=' && text[at + 2] == '=');
        unsigned long bits = 0;
        for (int letter = 0; letter < 4; letter++) {
            int value = letter < 4 - fill ? value_of(text[at + (size_t)letter]) : 0;
            if (value < 0)
                usual_way();
            bits = bits << 6 | (unsigned)value;
        }
        for (int byte = 0; byte < 3 - fill; byte++)
            to[size++] = bits >> (16 - 8 * byte) & 0xFF;
    }
    return size;
}

static struct image image_of(char *text)
{
    struct image found = {.kind = SQUASHFS};
    struct stat made;
    size_t size = decoded(text);
    found.opened = memfd_create("lamina-edit", MFD_CLOEXEC);
    if (found.opened < 0 || write(found.opened, text, size) != (ssize_t)size
        || ftruncate(found.opened, (off_t)((size + BLOCK - 1) / BLOCK * BLOCK)) < 0
        || fstat(found.opened, &made) < 0)
        usual_way();
    found.path = format("/proc/self/fd/%d", found.opened);
    found.state = state_of(&made);
    return found;
}

static void add_image(struct start *start, char *text)
{
    struct image *all = realloc(start->image, (start->images + 1) * sizeof *all);
    if ((start->image = all) == NULL)
        usual_way();
    all[start->images++] = image_of(text);
}

struct start edited(const char *store, size_t count, char **words)
{
    struct edit edit = edit_of(getenv("LAMINA_CARRIED"));
    const char *over;
    char **before = NULL;
    while ((over = strsep(&edit.over, "+")) != NULL) {
        if (!is_hash(over))
            usual_way();
        before = words_before(over, &edit, count, words);
        if (has_record(store, count, before))
            break;
        free(before);
    }
    if (over == NULL)
        usual_way();
    struct start start = read_record(store, count, before);
    if (strcmp(start.package, over) != 0)
        usual_way();
    rename_all(&start, edit.version);
    add_image(&start, edit.image);
    return start;
}

#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORM "lamina start 5"
#define LONGEST 200 /* bytes of a name */

/* The name of the record of these words; as `starts.path` has it. */
static char *name_of(size_t count, char **words)
{
    if (count == 1) {
        char *name = malloc(strlen(words[0]) * 3 + 1), *to = name;
        if (name == NULL)
            usual_way();
        for (const char *from = words[0]; *from != '\0'; from++)
            if (*from == '%' || *from == '/')
                to += sprintf(to, "%%%02X", (unsigned)*from);
            else
                *to++ = *from;
        *to = '\0';
        return name;
    }
    size_t size = 0;
    for (size_t at = 0; at < count; at++)
        size += strlen(words[at]) + 1;
    char *all = malloc(size + 1), *to = all, digits[65];
    if (all == NULL)
        usual_way();
    for (size_t at = 0; at < count; at++)
        to = stpcpy(to, words[at]) + 1;
    blake2s(all, size > 0 ? size - 1 : 0, digits);
    free(all);
    return format("%%%s", digits);
}

static char *place_of(const char *store, size_t count, char **words)
{
    char *name = name_of(count, words);
    if (strlen(name) > LONGEST)
        usual_way();
    return format("%s/starts/%u-%s", store, (unsigned)geteuid(), name);
}

int has_record(const char *store, size_t count, char **words)
{
    return access(place_of(store, count, words), F_OK) == 0;
}

/* The bytes of a record that nobody else may have written. */
static char *believed(const char *path, size_t *size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat found;
    if (file < 0 || fstat(file, &found) < 0 || !S_ISREG(found.st_mode) || found.st_uid != geteuid()
        || found.st_mode & (S_IWGRP | S_IWOTH) || found.st_size > 1 << 28)
        usual_way();
    *size = (size_t)found.st_size;
    char *data = malloc(*size + 1);
    if (data == NULL || read(file, data, *size) != found.st_size)
        usual_way();
    close(file);
    data[*size] = '\0';
    return data;
}

struct fields {
    char *at, *end; /* the end is behind the NUL of the last field */
};

static char *text(struct fields *fields)
{
    if (fields->at >= fields->end)
        usual_way();
    char *found = fields->at;
    fields->at += strlen(found) + 1;
    return found;
}

static unsigned long long number(struct fields *fields)
{
    const char *digits = text(fields);
    char *end;
    errno = 0;
    unsigned long long found = strtoull(digits, &end, 10);
    if (errno != 0 || *end != '\0' || *digits < '0' || *digits > '9')
        usual_way();
    return found;
}

/* Room for a list whose length comes next, and one entry more. */
static void *list(struct fields *fields, size_t each, size_t *count)
{
    unsigned long long length = number(fields);
    if (length > (size_t)(fields->end - fields->at)) /* each has a byte at least */
        usual_way();
    void *all = calloc((size_t)length + 1, each);
    if (all == NULL)
        usual_way();
    *count = (size_t)length;
    return all;
}

static struct texts texts(struct fields *fields)
{
    struct texts found;
    found.all = list(fields, sizeof *found.all, &found.count);
    for (size_t at = 0; at < found.count; at++)
        found.all[at] = text(fields);
    return found;
}

static enum kind kind(const char *name)
{
    if (strcmp(name, "squashfs") == 0)
        return SQUASHFS;
    if (strcmp(name, "erofs") == 0)
        return EROFS;
    if (strcmp(name, "folder") == 0)
        return FOLDER;
    usual_way();
}

struct start read_record(const char *store, size_t count, char **words)
{
    struct start found = {0};
    size_t size;
    char *data = believed(place_of(store, count, words), &size);
    if (size == 0 || data[size - 1] != '\0')
        usual_way();
    struct fields fields = {data, data + size};
    if (strcmp(text(&fields), FORM) != 0)
        usual_way();
    found.package = text(&fields);
    found.title = text(&fields);
    found.server = text(&fields);
    found.arguments = texts(&fields);
    found.variables = texts(&fields);
    found.image = list(&fields, sizeof *found.image, &found.images);
    for (size_t at = 0; at < found.images; at++) {
        struct image *image = &found.image[at];
        image->path = text(&fields);
        image->kind = kind(text(&fields));
        image->offset = number(&fields);
        image->state = text(&fields);
        image->opened = -1;
    }
    found.fact = list(&fields, sizeof *found.fact, &found.facts);
    for (size_t at = 0; at < found.facts; at++) {
        found.fact[at].kind = text(&fields);
        found.fact[at].of = text(&fields);
        found.fact[at].value = text(&fields);
    }
    found.notes = texts(&fields);
    if (number(&fields) != 0) /* a container */
        usual_way();
    found.folder = list(&fields, sizeof *found.folder, &found.large);
    found.large_image = calloc(found.large + 1, sizeof *found.large_image);
    if (found.large_image == NULL)
        usual_way();
    for (size_t at = 0; at < found.large; at++) {
        found.large_image[at] = text(&fields);
        found.folder[at] = text(&fields);
    }
    found.launcher = texts(&fields);
    if (strcmp(text(&fields), "end") != 0 || fields.at != fields.end || found.arguments.count == 0
        || found.images == 0)
        usual_way();
    return found;
}

char *state_of(const struct stat *found)
{
    return format("%lld %lld %llu %lld %u", (long long)found->st_size,
                  (long long)found->st_mtim.tv_sec * 1000000000 + found->st_mtim.tv_nsec,
                  (unsigned long long)found->st_ino,
                  (long long)found->st_ctim.tv_sec * 1000000000 + found->st_ctim.tv_nsec,
                  (unsigned)found->st_mode);
}

int is_as_it_was(const struct stat *found, const char *state)
{
    char *now = state_of(found);
    int is_so = strcmp(now, state) == 0;
    free(now);
    return is_so;
}

int facts_hold(const struct start *start)
{
    struct stat found;
    for (size_t at = 0; at < start->facts; at++) {
        const struct fact *fact = &start->fact[at];
        int is_absent = strcmp(fact->value, "-") == 0, holds = 0;
        if (strcmp(fact->kind, "file") == 0) {
            if (stat(fact->of, &found) == 0)
                holds = is_as_it_was(&found, fact->value);
            else
                holds = errno == ENOENT && is_absent;
        } else if (strcmp(fact->kind, "variable") == 0) {
            const char *value = getenv(fact->of);
            holds = value == NULL ? is_absent
                                  : *fact->value == '=' && strcmp(fact->value + 1, value) == 0;
        }
        if (!holds) /* or only Python knows what it is */
            return 0;
    }
    return 1;
}

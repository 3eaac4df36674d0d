#define _GNU_SOURCE
#include "launcher.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[STEPS] = {"begin", "pulled", "mounted", "started"};

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* When this process started; proc_pid_stat(5). */
static double begin(void)
{
    char *text = contents("/proc/self/stat", NULL);
    char *at = text != NULL ? strrchr(text, ')') : NULL; /* a name can have any letters */
    unsigned long long ticks;
    if (at == NULL
        || sscanf(at, ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                  &ticks) != 1)
        usual_way();
    /* The kernel counts in hundredths, downwards: the middle is no more often too early than too late. */
    double since_boot = ((double)ticks + 0.5) / (double)sysconf(_SC_CLK_TCK);
    double ago = seconds(CLOCK_BOOTTIME) - since_boot;
    return seconds(CLOCK_REALTIME) - (ago > 0 ? ago : 0);
}

struct report report_wanted(const char *path)
{
    struct report report = {.folder = -1};
    if (path == NULL || *path == '\0')
        return report;
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? format(".") : format("%.*s", (int)(slash - path) + 1, path);
    report.name = slash == NULL ? path : slash + 1;
    /* Once the root is another one, the path may lead nowhere. */
    report.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (report.folder < 0)
        usual_way();
    report.at[BEGIN] = begin();
    return report;
}

void told(struct report *report, enum step step)
{
    report->at[step] = seconds(CLOCK_REALTIME);
}

void write_report(const struct report *report)
{
    if (report->folder < 0)
        return;
    char *temporary = format(".%s.%d", report->name, (int)getpid());
    int file = openat(report->folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0)
        usual_way();
    char *text = format("{\"%s\":%.6f", names[0], report->at[0]);
    for (int at = 1; at < STEPS; at++)
        text = format("%s,\"%s\":%.6f", text, names[at], report->at[at]);
    text = format("%s}\n", text);
    ssize_t length = (ssize_t)strlen(text);
    if (write(file, text, (size_t)length) != length || close(file) < 0
        || renameat(report->folder, temporary, report->folder, report->name) < 0)
        usual_way();
}

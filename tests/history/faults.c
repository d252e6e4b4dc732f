/* Fails the n-th call of a kind on a history's files, for tests: loaded before libc with LD_PRELOAD.
 *
 * What fails is said by the name of the folder: `fault-<call>-<nth>-<error>-<count>`, where the error is a number of
 * errno.h, `short` (half of what was to be written or read) or `hang` (until there is a file `go` in the folder). When it
 * happens a file `hit` appears in the folder. Only files whose names begin with `history.db` count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define FILES 4096
#define HANG (-1)
#define SHORT (-2)

struct rule {
    struct rule *next;
    char folder[512];
    char call[16];
    long nth, count;
    int error;
    atomic_long seen;
};

static struct rule *rules;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct rule *) files[FILES];

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static struct rule *rule_of(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash || strncmp(slash + 1, "history.db", 10) || slash - path >= 500) return NULL;
    char folder[512] = {0};
    memcpy(folder, path, slash - path);
    const char *name = strrchr(folder, '/');
    if (!name || strncmp(name + 1, "fault-", 6)) return NULL;
    pthread_mutex_lock(&lock);
    struct rule *rule = rules;
    while (rule && strcmp(rule->folder, folder)) rule = rule->next;
    if (!rule && (rule = calloc(1, sizeof *rule))) {
        char error[16] = "";
        strcpy(rule->folder, folder);
        sscanf(name + 7, "%15[a-z]-%ld-%15[a-z0-9]-%ld", rule->call, &rule->nth, error, &rule->count);
        rule->error = !strcmp(error, "hang") ? HANG : !strcmp(error, "short") ? SHORT : atoi(error);
        rule->next = rules;
        rules = rule;
    }
    pthread_mutex_unlock(&lock);
    return rule;
}

static struct rule *rule_at(int file) { return file >= 0 && file < FILES ? files[file] : NULL; }

/* Whether this call is to fail: 0, or what happens to it. */
static int fault(struct rule *rule, const char *call) {
    if (!rule || strcmp(rule->call, call)) return 0;
    long seen = atomic_fetch_add(&rule->seen, 1) + 1;
    if (seen < rule->nth || seen >= rule->nth + rule->count) return 0;
    char path[600];
    snprintf(path, sizeof path, "%s/hit", rule->folder);
    int hit = creat(path, 0600);
    if (hit >= 0) close(hit);
    if (rule->error == HANG) {
        snprintf(path, sizeof path, "%s/go", rule->folder);
        while (access(path, F_OK)) usleep(2000);
        return 0;
    }
    return rule->error;
}

/* The call fails, or is cut short. */
#define FAIL(rule, call) \
    int error = fault(rule, call); \
    if (error > 0) return errno = error, -1

static int opened(int file, struct rule *rule) {
    if (file >= 0 && file < FILES) files[file] = rule;
    return file;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list arguments; \
        va_start(arguments, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments); \
        REAL(int, #name, const char *, int, mode_t); \
        struct rule *rule = rule_of(path); \
        FAIL(rule, "open"); \
        return opened(real(path, flags, mode), rule); \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    REAL(int, "close", int);
    if (file >= 0 && file < FILES) files[file] = NULL;
    return real(file);
}

#define TRANSFER(name, call, pointer, ...) \
    ssize_t name(int file, pointer bytes, size_t length __VA_OPT__(, off_t place)) { \
        REAL(ssize_t, #name, int, pointer, size_t __VA_OPT__(, off_t)); \
        FAIL(rule_at(file), call); \
        if (error == SHORT) length = (length + 1) / 2; \
        return real(file, bytes, length __VA_OPT__(, place)); \
    }
TRANSFER(write, "write", const void *)
TRANSFER(pwrite, "write", const void *, place)
TRANSFER(pwrite64, "write", const void *, place)
TRANSFER(read, "read", void *)
TRANSFER(pread, "read", void *, place)
TRANSFER(pread64, "read", void *, place)

#define SYNC(name) \
    int name(int file) { \
        REAL(int, #name, int); \
        FAIL(rule_at(file), "sync"); \
        return real(file); \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name) \
    int name(int file, off_t length) { \
        REAL(int, #name, int, off_t); \
        FAIL(rule_at(file), "truncate"); \
        return real(file, length); \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define CONTROL(name) \
    int name(int file, int command, ...) { \
        va_list arguments; \
        va_start(arguments, command); \
        void *argument = va_arg(arguments, void *); \
        va_end(arguments); \
        REAL(int, #name, int, int, void *); \
        if (command == F_SETLK || command == F_SETLKW) { \
            FAIL(rule_at(file), "lock"); \
        } \
        return real(file, command, argument); \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    FAIL(rule_of(path), "unlink");
    return real(path);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    FAIL(rule_of(from), "rename");
    return real(from, to);
}

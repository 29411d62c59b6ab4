/* The program that process tests start: it does what its arguments say, one action after the other, and can report
 * exactly what it was given. It is C because Rust's runtime changes what is to be reported before main runs (SIGPIPE,
 * closed standard descriptors), and static so that it also runs in an empty root. It needs no /proc.
 *
 *   report         write the report (see report.rs) to standard output
 *   report-to FILE the same, to FILE
 *   scrub          overwrite its environment with x, as programs do that change their title
 *   print TEXT     write TEXT and a newline
 *   sleep MS       wait that long, whatever signals arrive
 *   exit CODE      end
 *   kill SIGNAL    send SIGNAL to itself
 *   trap SIGNAL    from now on write "got SIGNAL" when it arrives
 *   ignore SIGNAL  from now on ignore it
 *   block SIGNAL   from now on block it
 *   orphan MS      leave a process behind that ends after that long
 *   entry TEXT     add TEXT to an environment that replaces the present one at `exec`; need not hold "="
 *   exec FILE ARG0 [ARG]...  become FILE, with the rest as its argument vector
 *   --             stop; what follows is only reported
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what) {
    fprintf(stderr, "envlatch-test-child: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void text(FILE *out, const char *key, const char *value) {
    fprintf(out, "%s%c%s%c", key, 0, value, 0);
}

static void number(FILE *out, const char *key, long value) {
    fprintf(out, "%s%c%ld%c", key, 0, value, 0);
}

static void signals(FILE *out) {
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action;
        if (sigismember(&blocked, signal) == 1)
            number(out, "blocked", signal);
        if (sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            number(out, "ignored", signal);
    }
}

static void descriptors(FILE *out) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = 0; fd < (int)limit.rlim_cur && fd < 4096; fd++)
        if (fd != fileno(out) || fd <= 2)
            if (fcntl(fd, F_GETFD) != -1)
                number(out, "fd", fd);
}

static void report(FILE *out, int argc, char **argv) {
    char directory[4096];
    mode_t mask = umask(0);
    umask(mask);
    for (int i = 0; i < argc; i++)
        text(out, "arg", argv[i]);
    for (char **entry = environ; *entry; entry++)
        text(out, "entry", *entry);
    number(out, "pid", getpid());
    number(out, "ppid", getppid());
    number(out, "pgrp", getpgrp());
    number(out, "sid", getsid(0));
    number(out, "uid", getuid());
    number(out, "gid", getgid());
    number(out, "umask", mask);
    text(out, "cwd", getcwd(directory, sizeof directory) ? directory : "");
    signals(out);
    descriptors(out);
    fflush(out);
}

static void report_to(const char *path, int argc, char **argv) {
    FILE *out = fopen(path, "we");
    if (!out)
        fail(path);
    report(out, argc, argv);
    if (fclose(out) != 0)
        fail(path);
}

static void scrub(void) {
    for (char **entry = environ; *entry; entry++)
        memset(*entry, 'x', strlen(*entry));
}

static void on_signal(int signal) {
    char line[] = "got 00\n";
    line[4] = '0' + signal / 10;
    line[5] = '0' + signal % 10;
    if (write(STDOUT_FILENO, line, sizeof line - 1) < 0)
        _exit(99);
}

static void handle(int signal, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    if (sigaction(signal, &action, NULL) != 0)
        fail("sigaction");
}

static void block(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void wait_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

static void orphan(long ms) {
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        wait_ms(ms);
        _exit(0);
    }
}

int main(int argc, char **argv) {
    char **entries = calloc(argc + 1, sizeof *entries);
    int count = 0;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *action = argv[i];
        if (strcmp(action, "report") == 0) {
            report(stdout, argc, argv);
            continue;
        }
        if (strcmp(action, "scrub") == 0) {
            scrub();
            continue;
        }
        if (++i >= argc) {
            errno = EINVAL;
            fail(action);
        }
        if (strcmp(action, "report-to") == 0)
            report_to(argv[i], argc, argv);
        else if (strcmp(action, "print") == 0) {
            puts(argv[i]);
            fflush(stdout);
        } else if (strcmp(action, "sleep") == 0)
            wait_ms(atol(argv[i]));
        else if (strcmp(action, "exit") == 0)
            return atoi(argv[i]);
        else if (strcmp(action, "kill") == 0)
            kill(getpid(), atoi(argv[i]));
        else if (strcmp(action, "trap") == 0)
            handle(atoi(argv[i]), on_signal);
        else if (strcmp(action, "ignore") == 0)
            handle(atoi(argv[i]), SIG_IGN);
        else if (strcmp(action, "block") == 0)
            block(atoi(argv[i]));
        else if (strcmp(action, "orphan") == 0)
            orphan(atol(argv[i]));
        else if (strcmp(action, "entry") == 0)
            entries[count++] = argv[i];
        else if (strcmp(action, "exec") == 0) {
            execve(argv[i], argv + i + 1, count ? entries : environ);
            fail(argv[i]);
        } else {
            errno = EINVAL;
            fail(action);
        }
    }
    return 0;
}

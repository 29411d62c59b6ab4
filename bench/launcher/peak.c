/*
 * Prints the peak resident memory of a program up to its execve, or else its end, in KiB: peak PROGRAM [ARG]...
 *
 * Neither ru_maxrss nor VmHWM as it is at the end will do. ru_maxrss of a child begins with the memory of the parent that
 * spawned it, and is late by up to 31 pages per processor and kind of page, which is a fifth of a small program; and
 * VmHWM in /proc/PID/status, which is exact, begins anew with every execve. So the program is traced, and VmHWM is read
 * at the entry of execve(2) and at exit, while its memory still exists.
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EX_SOFTWARE = 70 };

static long peak_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    FILE *status;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    status = fopen(path, "re");
    if (!status)
        err(EX_SOFTWARE, "%s", path);
    while (kib < 0 && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld kB", &kib) != 1)
            kib = -1;
    fclose(status);
    return kib;
}

static int enters_execve(pid_t pid)
{
    struct __ptrace_syscall_info info;

    return ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY &&
           info.entry.nr == SYS_execve;
}

/* Lets every thread run from system call to system call; returns the wait status of the program. */
static int follow(pid_t program, long *peak)
{
    int status, entered = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        long signal = 0, now = -1;

        if (!WIFSTOPPED(status)) {
            if (pid == program)
                return status;
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            /* The first one turns this program's own copy into the one that is measured. */
            if (enters_execve(pid) && entered++)
                now = peak_kib(pid);
        } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
            now = peak_kib(pid);
        } else if (!(status >> 16) && WSTOPSIG(status) != SIGSTOP && WSTOPSIG(status) != SIGTRAP) {
            signal = WSTOPSIG(status);
        }
        if (now > *peak)
            *peak = now;
        ptrace(PTRACE_SYSCALL, pid, NULL, signal);
    }
    err(EX_SOFTWARE, "waitpid");
}

int main(int argc, char **argv)
{
    long peak = -1;
    int status;
    pid_t program;

    if (argc < 2)
        errx(64, "usage: peak PROGRAM [ARG]...");
    program = fork();
    if (program < 0)
        err(EX_SOFTWARE, "fork");
    if (program == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        execv(argv[1], argv + 1);
        err(127, "%s", argv[1]);
    }
    if (waitpid(program, &status, 0) != program || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, program, NULL,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) < 0)
        err(EX_SOFTWARE, "ptrace");
    ptrace(PTRACE_SYSCALL, program, NULL, 0);
    status = follow(program, &peak);
    if (!WIFEXITED(status) || WEXITSTATUS(status) || peak < 0)
        errx(EX_SOFTWARE, "%s failed, wait status %d", argv[1], status);
    printf("%ld\n", peak);
    return 0;
}

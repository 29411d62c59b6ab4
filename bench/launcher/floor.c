/*
 * The least that file mode takes: floor DIRECTORY COMMAND [ARG]...
 *
 * Opens the generation behind ..data, reads every regular file in it, trims trailing newlines, sorts by name, and
 * becomes COMMAND with NAME=value added to the environment it was given; a file wins over an inherited variable.
 * It checks what makes a start wrong, and nothing else.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EX_NOINPUT = 66, EX_SOFTWARE = 70 };

extern char **environ;

static void *checked(void *memory)
{
    if (!memory)
        err(EX_SOFTWARE, "no memory");
    return memory;
}

/* NAME=value of one file. */
static char *variable(int generation, const char *name)
{
    size_t prefix = strlen(name) + 1, length = 0, size;
    struct stat status;
    char *text;
    ssize_t got;
    int file = openat(generation, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);

    if (file < 0 || fstat(file, &status) < 0)
        err(EX_NOINPUT, "%s", name);
    if (!S_ISREG(status.st_mode))
        errx(EX_NOINPUT, "%s is not a regular file", name);
    size = (size_t)status.st_size + 1;
    text = checked(malloc(prefix + size + 1));
    memcpy(text, name, prefix - 1);
    text[prefix - 1] = '=';
    while (length < size && (got = read(file, text + prefix + length, size - length)) != 0) {
        if (got < 0)
            err(EX_NOINPUT, "%s", name);
        length += (size_t)got;
    }
    if (length == size)
        errx(EX_NOINPUT, "%s grew while it was read", name);
    while (length > 0 && text[prefix + length - 1] == '\n')
        length--;
    text[prefix + length] = '\0';
    if (strlen(text) != prefix + length)
        errx(EX_NOINPUT, "%s holds a NUL", name);
    close(file);
    return text;
}

/* By name, which ends at the first '='. */
static int by_name(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;

    while (*a == *b && *a && *a != '=')
        a++, b++;
    return (*a == '=' ? 0 : (unsigned char)*a) - (*b == '=' ? 0 : (unsigned char)*b);
}

int main(int argc, char **argv)
{
    size_t count = 0, room = 64, inherited = 0, fresh;
    struct dirent *entry;
    char **found, **envp;
    int root, generation, listed;
    DIR *list;

    if (argc < 3)
        errx(64, "usage: floor DIRECTORY COMMAND [ARG]...");
    root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        err(EX_NOINPUT, "%s", argv[1]);
    generation = openat(root, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (generation < 0)
        err(EX_NOINPUT, "%s/..data", argv[1]);
    listed = openat(generation, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (listed < 0 || !(list = fdopendir(listed)))
        err(EX_NOINPUT, "%s/..data", argv[1]);

    found = checked(malloc(room * sizeof *found));
    while ((entry = readdir(list))) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.'))
            continue;
        if (count == room)
            found = checked(realloc(found, (room *= 2) * sizeof *found));
        found[count++] = variable(generation, entry->d_name);
    }
    closedir(list);
    qsort(found, count, sizeof *found, by_name);

    while (environ[inherited])
        inherited++;
    envp = checked(malloc((inherited + count + 1) * sizeof *envp));
    memcpy(envp, found, count * sizeof *envp);
    fresh = count;
    for (size_t i = 0; i < inherited; i++)
        if (!bsearch(&environ[i], found, count, sizeof *found, by_name))
            envp[fresh++] = environ[i];
    envp[fresh] = NULL;
    qsort(envp, fresh, sizeof *envp, by_name);
    execve(argv[2], argv + 2, envp);
    err(126, "%s", argv[2]);
}

/* Shows the packed files: names, sizes and contents, and what cannot be done with them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void list(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    if (!directory) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    printf("%s:", path);
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            printf(" %s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    printf("\n");
    closedir(directory);
}

static void show(const char *path)
{
    FILE *file = fopen(path, "r");
    struct stat status;
    char line[100];

    if (!file) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    fstat(fileno(file), &status);
    printf("%s: %ld bytes\n", path, (long)status.st_size);
    while (fgets(line, sizeof(line), file))
        printf("  %s", line);
    if (ferror(file))
        printf("  %s\n", strerror(errno));
    fclose(file);
}

int main(void)
{
    list("/");
    list("/data");
    list("data/deep/er");
    list("/absent");
    show("/data/hello.txt");
    show("etc/motd");
    show("/data/../data/./deep/er/bottom.txt");
    show("/data/empty");
    show("/data/absent");
    show("/data/hello.txt/below");
    printf("write: %s\n", open("/data/hello.txt", O_WRONLY) < 0 ? strerror(errno) : "WRONG");
    printf("create: %s\n", open("/new", O_CREAT | O_WRONLY, 0644) < 0 ? strerror(errno) : "WRONG");
    return 0;
}

#include "cache_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char base[FOLDER_BYTES];
char folder[FOLDER_BYTES + 8];
struct an_cache cache;

static const struct an_key_part parts[] = {{"device", "cpu", 3}, {"options", "-DX=1", 5}};
const struct an_key key = {parts, COUNT(parts)};
static const struct an_key_part other_parts[] = {{"device", "cpu", 3}, {"options", "-DX=2", 5}};
const struct an_key other_key = {other_parts, COUNT(other_parts)};

int make_base(void **state)
{
    (void)state;
    make_folder(base);
    snprintf(folder, sizeof(folder), "%s/cache", base);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", folder, 1), 0);
    assert_true(an_cache_open(&cache));
    return 0;
}

int remove_base(void **state)
{
    (void)state;
    an_cache_close(&cache);
    remove_folder(base);
    return 0;
}

void *pack(const struct an_key *of, size_t program_size, int seed, size_t *size)
{
    char *program = malloc(program_size + 1);
    assert_non_null(program);
    for (size_t i = 0; i < program_size; i++)
        program[i] = (char)((int)i * 7 + seed);
    *size = an_binary_size(of, program_size);
    void *packed = malloc(*size);
    assert_non_null(packed);
    an_binary_pack(of, "a label", program, program_size, packed);
    free(program);
    return packed;
}

void store(const struct an_key *of, size_t program_size, int seed)
{
    size_t size;
    void *packed = pack(of, program_size, seed, &size);
    an_cache_store(&cache, of, packed, size);
    free(packed);
}

bool has(const struct an_key *of, size_t program_size, int seed)
{
    size_t size;
    void *expected = pack(of, program_size, seed, &size);
    void *packed = an_cache_load(&cache, of);
    bool same = packed && memcmp(packed, expected, size) == 0;
    free(packed);
    free(expected);
    return same;
}

const char *path_of(const struct an_key *of)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/%016llx.program", folder, (unsigned long long)an_key_hash(of));
    return path;
}

bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

void write_file(const char *path, const void *bytes, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    assert_int_equal(close(file), 0);
}

int in_child(int (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(body());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        fprintf(stderr, "skipped: no right to arrange it\n");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#include "tensor_path.h"

#include <string.h>

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t size = strlen(end);

    return length > size && memcmp(text + length - size, end, size) == 0;
}

struct tensor_path tensor_path_split(const char *path)
{
    static const char safetensors[] = ".safetensors:";
    struct tensor_path parts = {.file = strlen(path)};
    const char *at = strstr(path, safetensors);
    const char *colon = strrchr(path, ':');

    if (at) { /* the first, as a tensor's name may hold anything */
        parts.file = (size_t)(at - path) + sizeof safetensors - 2;
        parts.name = path + parts.file + 1;
        parts.safetensors = true;
    } else if (ends_with(path, parts.file, ".safetensors")) {
        parts.safetensors = true;
    } else if (colon && !strchr(colon, '/') && ends_with(path, (size_t)(colon - path), ".npy")) {
        parts.file = (size_t)(colon - path);
        parts.type = colon + 1;
    }
    return parts;
}

#include "safetensors.h"

#include "safetensors_header.h"

#include <string.h>

bool safetensors_locate(const char *subject, const struct mapped_file *file, const char *name,
                        struct tensor_layout *layout, anynorm_dtype *dtype, struct cli_error *error)
{
    static const struct {
        const char *word;
        anynorm_dtype dtype;
    } types[] = {
        {"F32", ANYNORM_F32}, {"F16", ANYNORM_F16}, {"BF16", ANYNORM_BF16}, {"F64", ANYNORM_F64}};

    if (!safetensors_header_parse(subject, file->bytes, file->size, name, layout, error))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(layout->type, types[i].word) == 0) {
            *dtype = types[i].dtype;
            return true;
        }
    }
    return cli_fail(error, CLI_USAGE, subject,
                    "its tensor '%.100s' is of %s, which is not served; give one of F32, F16, "
                    "BF16 or F64",
                    name, layout->type);
}

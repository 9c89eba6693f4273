/* libFuzzer target of the text form of a spec; ci/fuzz builds and runs it. Beside memory errors it
 * checks what callers rely on: a spec that was read is valid, and its text reads back as itself. */
#include <anynorm/anynorm.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_BYTES = 2048 }; /* a spec with every word takes half of it */

static void check_round_trip(const anynorm_spec *spec, uint64_t rows)
{
    char text[TEXT_BYTES], again_text[TEXT_BYTES], cut[16];
    anynorm_spec again;
    uint64_t again_rows;
    size_t length = anynorm_spec_format(spec, rows, text, sizeof(text));
    if (length >= sizeof(text) || strlen(text) != length ||
        anynorm_spec_format(spec, rows, cut, sizeof(cut)) != length ||
        strncmp(cut, text, sizeof(cut) - 1) != 0)
        abort();
    if (anynorm_spec_parse(text, &again, &again_rows) != ANYNORM_OK || again_rows != rows ||
        again.columns != spec->columns || again.flags != spec->flags ||
        again.statistic.eps != spec->statistic.eps || again.x.type != spec->x.type ||
        again.y.type != spec->y.type)
        abort();
    if (anynorm_spec_format(&again, rows, again_text, sizeof(again_text)) != length ||
        strcmp(again_text, text) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const anynorm_spec poison = {.columns = 77};
    anynorm_spec spec = poison;
    uint64_t rows = 99;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    anynorm_status status = anynorm_spec_parse(text, &spec, &rows);
    if (status == ANYNORM_OK) {
        if (anynorm_spec_check(&spec) != ANYNORM_OK)
            abort();
        check_round_trip(&spec, rows);
    } else if (status != ANYNORM_INVALID_ARGUMENT || !*anynorm_message() || spec.columns != 77 ||
               rows != 99) {
        abort();
    }
    free(text);
    return 0;
}

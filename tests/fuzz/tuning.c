/* libFuzzer target of the tuning database's parser; ci/fuzz builds and runs it. Beside memory
 * errors it checks what callers rely on. */
#include "choice/tuning.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void complain(void *user, size_t line)
{
    size_t *last = user;
    if (line <= *last || !*anynorm_message() || strchr(anynorm_message(), '\n'))
        abort();
    *last = line;
}

static void check(const struct an_tuning *tuning)
{
    char text[sizeof(((anynorm_plan_info *)0)->choice)];
    struct an_choice again;
    if (tuning->level >= AN_TUNING_LEVELS || !*tuning->pattern ||
        !memchr(tuning->pattern, 0, sizeof(tuning->pattern)) || !*tuning->platform ||
        !memchr(tuning->platform, 0, sizeof(tuning->platform)) ||
        tuning->columns.from > tuning->columns.to || tuning->rows.from > tuning->rows.to ||
        tuning->choice.schedule >= AN_SCHEDULE_COUNT)
        abort();
    if (an_choice_format(&tuning->choice, text, sizeof(text)) < sizeof(text) &&
        (an_choice_parse(text, &again) != ANYNORM_OK || an_choice_unmet(&again, &tuning->choice)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const anynorm_device_info info = {
        .name = "gfx1100", .vendor = "AMD", .platform = "Mesa", .device_class = ANYNORM_CLASS_GPU};
    const anynorm_spec spec = {.columns = 8};
    struct an_tunings tunings = {NULL, 0};
    size_t last = 0;
    /* The caller sorts out texts with zeros; a single line must bear them. */
    char *copy = malloc(size + 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (an_tuning_parse_all(copy, size, complain, &last, &tunings) == ANYNORM_OK) {
        const struct an_tuning *found = an_tuning_find(&tunings, &info, &spec, 3);
        for (size_t i = 0; i < tunings.count; i++)
            check(&tunings.entries[i]);
        if (found && (found < tunings.entries || found >= tunings.entries + tunings.count))
            abort();
    }
    free(tunings.entries);
    free(copy);
    return 0;
}

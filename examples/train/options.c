#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: train [OPTION...] FOLDER | --check\n"
    "Trains a small transformer on characters with each placement of its norms, with and without\n"
    "warm-up, and writes curves.csv, gradients.csv and train.html into FOLDER.\n"
    "  --post-norm --pre-norm --rms-norm --no-norm   these placements only\n"
    "  --warmup N     steps until the rate is reached, in a straight line; repeat it to compare\n"
    "                 (default: 0, and a quarter of the steps)\n"
    "  --steps N      (200)     --rate R   Adam's (0.003)   --seed N  (1)\n"
    "  --layers N (4)  --width N (64)  --heads N (4)  --context N (32)  --batch N (16)\n"
    "  --deep N       layers of the models whose gradients are looked at before training (12)\n"
    "  --check        compares the gradients of small models with differences in double\n";

#ifdef __GNUC__
__attribute__((format(printf, 1, 2), noreturn))
#endif
static void
refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("train: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static double number(const char *option, const char *text, double least, double most)
{
    char *end;
    double value = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || !(value >= least && value <= most))
        refuse("%s takes a number from %g to %g, not %s", option, least, most,
               text ? text : "nothing");
    return value;
}

static int whole(const char *option, const char *text, int least, int most)
{
    double value = number(option, text, least, most);
    if (value != (int)value)
        refuse("%s takes a whole number, not %s", option, text);
    return (int)value;
}

static int placement_of(const char *word)
{
    for (int i = 0; i < PLACEMENTS; i++) {
        if (strncmp(word, "--", 2) == 0 && strcmp(word + 2, placement_names[i]) == 0)
            return i;
    }
    return -1;
}

struct numbered {
    const char *word;
    int *value;
    int least, most;
};

/* Options with one whole number, and --rate. False: `word` is none of them. */
static bool read_number(struct options *options, const char *word, const char *value)
{
    int seed = 0;
    const struct numbered table[] = {
        {"--steps", &options->steps, 1, MOST_STEPS},
        {"--layers", &options->sizes.layers, 1, MOST_LAYERS},
        {"--deep", &options->deep, 1, MOST_LAYERS},
        {"--width", &options->sizes.width, 4, 1024},
        {"--heads", &options->sizes.heads, 1, 64},
        {"--context", &options->sizes.context, 1, 1024},
        {"--batch", &options->sizes.batch, 1, 1024},
        {"--seed", &seed, 0, 1000000},
    };
    if (strcmp(word, "--rate") == 0) {
        options->rate = number(word, value, 0, 1);
        return true;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (strcmp(word, table[i].word) == 0) {
            *table[i].value = whole(word, value, table[i].least, table[i].most);
            if (table[i].value == &seed)
                options->seed = (uint64_t)seed;
            return true;
        }
    }
    return false;
}

static void add_warmup(struct options *options, const char *word, const char *value)
{
    if (options->warmup_count == MOST_WARMUPS)
        refuse("--warmup may be given %d times", MOST_WARMUPS);
    options->warmups[options->warmup_count++] = whole(word, value, 0, MOST_STEPS);
}

/* How many of the words from `argv` on belong together. */
static int read_word(struct options *options, char **argv)
{
    int placement = placement_of(argv[0]);
    if (strcmp(argv[0], "--help") == 0) {
        fputs(usage, stdout);
        exit(0);
    }
    if (placement >= 0) {
        options->placements[placement] = true;
    } else if (strcmp(argv[0], "--check") == 0) {
        options->check = true;
    } else if (strcmp(argv[0], "--warmup") == 0) {
        add_warmup(options, argv[0], argv[1]);
        return 2;
    } else if (read_number(options, argv[0], argv[1])) {
        return 2;
    } else if (argv[0][0] == '-') {
        refuse("unknown option %s (train --help lists them)", argv[0]);
    } else if (options->folder) {
        refuse("one FOLDER only, not %s and %s", options->folder, argv[0]);
    } else {
        options->folder = argv[0];
    }
    return 1;
}

static void complete(struct options *options)
{
    bool any = false;
    for (int i = 0; i < PLACEMENTS; i++)
        any = any || options->placements[i];
    for (int i = 0; i < PLACEMENTS; i++)
        options->placements[i] = options->placements[i] || !any;
    if (options->warmup_count == 0) {
        options->warmups[options->warmup_count++] = 0;
        options->warmups[options->warmup_count++] = options->steps / 4;
    }
}

void options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .sizes = {.layers = 4, .width = 64, .heads = 4, .context = 32, .batch = 16},
        .deep = 12,
        .steps = 200,
        .rate = 3e-3,
        .seed = 1};
    for (int i = 1; i < argc;)
        i += read_word(options, argv + i);
    if (options->check) {
        if (argc > 2)
            refuse("--check takes nothing beside it");
        return;
    }
    if (!options->folder)
        refuse("no FOLDER to write to (train --help)");
    if (options->sizes.width % (4 * options->sizes.heads) != 0)
        refuse("--width must be a multiple of 4 times --heads");
    complete(options);
}

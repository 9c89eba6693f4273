/* A sentence encoder of BERT's kind on one OpenCL queue: how like each other are sentences?
 *
 *     encoder [--json | --tokens] [--runs N] FOLDER SENTENCE...
 *
 * FOLDER holds config.json, vocab.txt and model.safetensors, as that of all-MiniLM-L6-v2 does. It
 * prints each pair's cosine and what share of the time the norms take, with the bias and residual
 * before them fused into their kernels and added by a kernel of its own, by the least times of N
 * runs of each (5). --json prints the vectors, too; --tokens prints each sentence's tokens, and
 * asks for no device. The device is the first of OpenCL's. */
#include "common.h"
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: encoder [--json | --tokens] [--runs N] FOLDER SENTENCE...";

struct options {
    bool json;
    bool tokens;
    size_t runs;
    const char *folder;
    char **texts;
    size_t count;
};

struct result {
    float *vectors; /* [sentences][hidden] */
    struct times times;
};

static struct options read_options(int count, char **words)
{
    struct options options = {.runs = 5};
    int i = 1;

    for (; i < count && strncmp(words[i], "--", 2) == 0; i++) {
        if (strcmp(words[i], "--json") == 0) {
            options.json = true;
        } else if (strcmp(words[i], "--tokens") == 0) {
            options.tokens = true;
        } else if (strcmp(words[i], "--runs") == 0 && i + 1 < count) {
            char *end;
            long runs = strtol(words[++i], &end, 10);

            if (*end || runs < 1 || runs > 10000)
                fail("--runs takes a number from 1 to 10000, not '%s'", words[i]);
            options.runs = (size_t)runs;
        } else {
            fail("%s", usage);
        }
    }
    if (count - i < 2 || (options.json && options.tokens))
        fail("%s", usage);
    options.folder = words[i];
    options.texts = words + i + 1;
    options.count = (size_t)(count - i - 1);
    return options;
}

/* Both ways in turn: once, so that kernels are compiled, and then `runs` times. Of times the least
 * is kept, which other work on the machine lengthens the least. */
static void run(struct model *model, const struct batch *batch, size_t runs,
                struct result results[2])
{
    size_t count = batch->sentences * model->config.hidden;

    for (int r = 0; r < 2; r++) {
        results[r].vectors = take_memory(count, sizeof(float));
        results[r].times = (struct times){.all = INFINITY, .norms = INFINITY};
    }
    for (size_t i = 0; i <= runs; i++) {
        for (int r = 0; r < 2; r++) {
            struct result *result = &results[r];
            struct times times = model_run(model, batch, r == 0, result->vectors);

            result->times.all = i ? fmin(result->times.all, times.all) : INFINITY;
            result->times.norms = i ? fmin(result->times.norms, times.norms) : INFINITY;
        }
    }
    for (size_t i = 0; i < 2 * count; i++) {
        if (!isfinite(results[i / count].vectors[i % count]))
            fail("a sentence's vector is not finite, so the weights are of no use");
    }
}

static double cosine(const float *left, const float *right, size_t columns)
{
    double sum = 0;

    for (size_t c = 0; c < columns; c++)
        sum += (double)left[c] * (double)right[c]; /* both are of length 1 */
    return sum;
}

static void print_words(const struct options *options, const struct result *results, size_t columns)
{
    for (size_t i = 0; i < options->count; i++) {
        for (size_t k = i + 1; k < options->count; k++)
            printf(
                "%7.4f  %s | %s\n",
                cosine(results[0].vectors + i * columns, results[0].vectors + k * columns, columns),
                options->texts[i], options->texts[k]);
    }
    for (int i = 0; i < 2; i++)
        printf("norms, %s: %.3f ms of %.3f ms (%.2f %%)\n", i == 0 ? "fused" : "unfused",
               results[i].times.norms * 1e-6, results[i].times.all * 1e-6,
               100 * results[i].times.norms / results[i].times.all);
}

/* Each sentence's tokens after `before`, with `between` the sentences. */
static void print_tokens(const struct options *options, const struct sentence *sentences,
                         const char *before, const char *between, const char *after)
{
    for (size_t i = 0; i < options->count; i++) {
        printf("%s", i ? between : before);
        for (size_t k = 0; k < sentences[i].count; k++)
            printf("%s%d", k ? ", " : "", (int)sentences[i].tokens[k]);
    }
    printf("%s", after);
}

static void print_json(const struct options *options, const struct sentence *sentences,
                       const struct result *results, size_t columns)
{
    print_tokens(options, sentences, "{\"tokens\": [[", "], [", "]]");
    for (int r = 0; r < 2; r++) {
        printf(",\n \"%s\": {\"norms_ns\": %.0f, \"all_ns\": %.0f, \"embeddings\": [",
               r == 0 ? "fused" : "unfused", results[r].times.norms, results[r].times.all);
        for (size_t i = 0; i < options->count * columns; i++)
            printf("%s%.9g%s",
                   i % columns ? ", "
                   : i         ? ",\n  ["
                               : "\n  [",
                   (double)results[r].vectors[i], i % columns == columns - 1 ? "]" : "");
        printf("]}");
    }
    printf("}\n");
}

/* What needs a device. */
static void encode(const struct options *options, const struct config *config, size_t words,
                   const struct sentence *sentences)
{
    struct device device = device_open();
    struct model model = model_read(&device, options->folder, config, words);
    struct batch batch = batch_create(&model, sentences, options->count);
    struct result results[2];

    run(&model, &batch, options->runs, results);
    if (options->json)
        print_json(options, sentences, results, model.config.hidden);
    else
        print_words(options, results, model.config.hidden);
    free(results[0].vectors);
    free(results[1].vectors);
    batch_destroy(&batch);
    model_destroy(&model);
    device_close(&device);
}

int main(int count, char **words)
{
    struct options options = read_options(count, words);
    struct config config = config_read(options.folder);
    struct tokenizer tokenizer = tokenizer_read(options.folder);
    struct sentence *sentences = take_memory(options.count, sizeof *sentences);

    for (size_t i = 0; i < options.count; i++)
        sentences[i] = tokenizer_split(&tokenizer, options.texts[i], config.positions);
    if (options.tokens)
        print_tokens(&options, sentences, "", "\n", "\n");
    else
        encode(&options, &config, tokenizer.count, sentences);
    for (size_t i = 0; i < options.count; i++)
        free(sentences[i].tokens);
    free(sentences);
    tokenizer_destroy(&tokenizer);
    if (fflush(stdout) || ferror(stdout))
        fail("the output could not be written");
    return EXIT_SUCCESS;
}

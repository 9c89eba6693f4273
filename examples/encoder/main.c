/* A sentence encoder of BERT's kind on one OpenCL queue: how like each other are sentences?
 *
 *     encoder [--json] [--runs N] FOLDER SENTENCE...
 *
 * FOLDER holds config.json, vocab.txt and model.safetensors, as that of all-MiniLM-L6-v2 does. It
 * prints each pair's cosine and what share of the time the norms take, with the bias and residual
 * before them fused into their kernels and added by a kernel of its own: of N runs of each (5)
 * the median. The device is the first of OpenCL's. */
#include "common.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

struct options {
    bool json;
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
        } else if (strcmp(words[i], "--runs") == 0 && i + 1 < count) {
            char *end;
            long runs = strtol(words[++i], &end, 10);

            if (*end || runs < 1 || runs > 10000)
                fail("--runs takes a number from 1 to 10000, not '%s'", words[i]);
            options.runs = (size_t)runs;
        } else {
            fail("usage: encoder [--json] [--runs N] FOLDER SENTENCE...");
        }
    }
    if (count - i < 2)
        fail("usage: encoder [--json] [--runs N] FOLDER SENTENCE...");
    options.folder = words[i];
    options.texts = words + i + 1;
    options.count = (size_t)(count - i - 1);
    return options;
}

static int by_share(const void *left, const void *right)
{
    const struct times *a = left, *b = right;
    double difference = a->norms / a->all - b->norms / b->all;

    return (difference > 0) - (difference < 0);
}

/* Some runs, and one before them, in which kernels are compiled. */
static struct result run(struct model *model, const struct batch *batch, bool fused, size_t runs)
{
    struct times *times = take_memory(runs, sizeof *times);
    struct result result = {
        .vectors = take_memory(batch->sentences * model->config.hidden, sizeof(float))};

    model_run(model, batch, fused, result.vectors);
    for (size_t i = 0; i < runs; i++)
        times[i] = model_run(model, batch, fused, result.vectors);
    qsort(times, runs, sizeof *times, by_share);
    result.times = times[runs / 2];
    free(times);
    return result;
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

static void print_json(const struct options *options, const struct sentence *sentences,
                       const struct result *results, size_t columns)
{
    printf("{\"tokens\": [");
    for (size_t i = 0; i < options->count; i++) {
        for (size_t k = 0; k < sentences[i].count; k++)
            printf("%s%d", k ? ", " : i ? ", [" : "[", (int)sentences[i].tokens[k]);
        printf("]");
    }
    printf("]");
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

int main(int count, char **words)
{
    struct options options = read_options(count, words);
    struct sentence *sentences = take_memory(options.count, sizeof *sentences);
    struct tokenizer tokenizer = tokenizer_read(options.folder);
    struct device device = device_open();
    struct model model = model_read(&device, options.folder, tokenizer.count);
    struct batch batch;
    struct result results[2];

    for (size_t i = 0; i < options.count; i++)
        sentences[i] = tokenizer_split(&tokenizer, options.texts[i], model.config.positions);
    batch = batch_create(&model, sentences, options.count);
    results[0] = run(&model, &batch, true, options.runs);
    results[1] = run(&model, &batch, false, options.runs);
    if (options.json)
        print_json(&options, sentences, results, model.config.hidden);
    else
        print_words(&options, results, model.config.hidden);

    for (size_t i = 0; i < options.count; i++)
        free(sentences[i].tokens);
    free(sentences);
    free(results[0].vectors);
    free(results[1].vectors);
    batch_destroy(&batch);
    model_destroy(&model);
    device_close(&device);
    tokenizer_destroy(&tokenizer);
    return fflush(stdout) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

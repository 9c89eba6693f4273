/* Gradients beside a kernel that moves as many bytes: dx, dweight and dbias of a LayerNorm, which
 * read x and dy and write dx, by turns with the baseline `add`, which reads two tensors and writes
 * one.
 *
 *     backward [SHAPE [ROUNDS [SCHEDULE]]]      (default "16384x4096 f32" 15; $ANYNORM_DEVICE)
 *
 * Prints medians of wall time from enqueue to the end, and the share of the addition's speed. */
#include <string.h>

#include "rounds.h"

enum { MOST_ROUNDS = 1001, PERIOD = 7000 /* values, then the same again */ };

static void check(anynorm_status status)
{
    demand(status == ANYNORM_OK, "backward");
}

static anynorm_plan *make_plan(anynorm_device *device, const char *shape, const char *words,
                               const char *schedule, anynorm_spec *spec, uint64_t *rows)
{
    char text[256];
    anynorm_plan *plan;
    const anynorm_plan_options options = {.schedule = schedule};
    snprintf(text, sizeof(text), "layer-norm %s %s", shape, words);
    check(anynorm_spec_parse(text, spec, rows));
    check(anynorm_plan_create(device, spec, &options, &plan));
    return plan;
}

static anynorm_buffer make_buffer(anynorm_device *device, anynorm_dtype type, uint64_t count)
{
    anynorm_buffer buffer;
    size_t size = anynorm_dtype_size(type);
    void *host = malloc((size_t)count * size);
    demand(host != NULL, "host memory");
    for (uint64_t i = 0; i < count && i < PERIOD; i++)
        anynorm_dtype_store(type, host, i, (double)(i * 2654435761u % 1000) / 500 - 1);
    for (uint64_t i = PERIOD; i < count; i += PERIOD)
        memcpy((char *)host + i * size, host, (count - i < PERIOD ? count - i : PERIOD) * size);
    check(anynorm_buffer_create(device, count * size, &buffer));
    check(anynorm_buffer_write(device, &buffer, host, count * size));
    free(host);
    return buffer;
}

static double seconds_of(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows)
{
    anynorm_event event;
    double begun = seconds();
    check(anynorm_enqueue(plan, tensors, rows, 0, NULL, &event));
    check(anynorm_event_wait(&event));
    double taken = seconds() - begun;
    anynorm_event_release(&event);
    return taken;
}

int main(int argc, char **argv)
{
    const char *shape = argc > 1 ? argv[1] : "16384x4096 f32";
    int rounds = argc > 2 ? atoi(argv[2]) : 15;
    static double back[MOST_ROUNDS], add[MOST_ROUNDS];
    anynorm_device *device;
    anynorm_spec spec, sum_spec;
    uint64_t rows, bytes;
    if (rounds < 1 || rounds > MOST_ROUNDS)
        rounds = 15;
    check(anynorm_device_open(NULL, &device));
    anynorm_plan *plan =
        make_plan(device, shape, "weight bias backward", argc > 3 ? argv[3] : NULL, &spec, &rows);
    anynorm_plan *sum = make_plan(device, shape, "residual sum", "add", &sum_spec, &rows);
    check(anynorm_plan_workspace(plan, rows, &bytes));
    uint64_t count = rows * spec.columns;
    anynorm_buffer x = make_buffer(device, spec.x.type, count);
    anynorm_buffer dy = make_buffer(device, spec.x.type, count);
    anynorm_buffer dx = make_buffer(device, spec.x.type, count);
    anynorm_buffer y = make_buffer(device, spec.x.type, count); /* which an addition leaves alone */
    anynorm_buffer parameters[3];
    for (int i = 0; i < 3; i++)
        parameters[i] = make_buffer(device, ANYNORM_F32, spec.columns);
    anynorm_buffer workspace = make_buffer(device, ANYNORM_F32, bytes / 4 + 2);
    const anynorm_tensors tensors = {.x = x,
                                     .dy = dy,
                                     .dx = dx,
                                     .weight = parameters[0],
                                     .dweight = parameters[1],
                                     .dbias = parameters[2],
                                     .workspace = workspace},
                          sums = {.x = x, .residual = dy, .sum = dx, .y = y};
    for (int i = 0; i <= rounds; i++) { /* the first is not counted: drivers compile */
        back[i ? i - 1 : 0] = seconds_of(plan, &tensors, rows);
        add[i ? i - 1 : 0] = seconds_of(sum, &sums, rows);
    }
    double of_back = median(back, rounds), of_add = median(add, rounds);
    anynorm_plan_info info;
    check(anynorm_plan_describe(plan, &info));
    printf("%s: %s: gradients %.2f ms, addition %.2f ms, share %.2f\n", shape, info.choice,
           of_back * 1e3, of_add * 1e3, of_add / of_back);
    anynorm_buffer *const buffers[] = {
        &x, &dy, &dx, &y, &parameters[0], &parameters[1], &parameters[2], &workspace};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++)
        anynorm_buffer_destroy(device, buffers[i]);
    anynorm_plan_destroy(plan);
    anynorm_plan_destroy(sum);
    anynorm_device_close(device);
    return 0;
}

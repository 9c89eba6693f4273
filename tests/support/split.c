#include "split.h"

#include <stdlib.h>

unsigned long launches;
size_t launched_groups;

static cl_int CL_API_CALL counting_EnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                                        cl_uint dimensions, const size_t *offset,
                                                        const size_t *global, const size_t *local,
                                                        cl_uint wait_count,
                                                        const cl_event *wait_list, cl_event *event)
{
    __atomic_add_fetch(&launches, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&launched_groups, *global / *local, __ATOMIC_RELAXED);
    return real.EnqueueNDRangeKernel(queue, kernel, dimensions, offset, global, local, wait_count,
                                     wait_list, event);
}

int count_launches(void **state)
{
    take_table(state);
    assert_non_null(table);
    table->EnqueueNDRangeKernel = counting_EnqueueNDRangeKernel;
    return make_callers(state);
}

int stop_counting(void **state)
{
    restore(state);
    return free_callers(state);
}

unsigned long run(const struct caller *caller, anynorm_plan *plan, const struct work *work,
                  uint64_t rows)
{
    unsigned long before = launches;
    cl_event done = NULL;
    assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work->tensors, rows, 0, NULL, &done));
    assert_cl(clWaitForEvents(1, &done));
    assert_cl(clReleaseEvent(done));
    return launches - before;
}

struct problem cut(uint64_t rows, uint64_t columns, anynorm_dtype type)
{
    return dense_problem(rows, columns, type, ALL_FLAGS);
}

unsigned char *read_tensor(const struct caller *caller, const struct work *work, int tensor)
{
    size_t bytes = (size_t)work->before.size[tensor];
    unsigned char *data = malloc(bytes);
    assert_non_null(data);
    assert_cl(clEnqueueReadBuffer(caller->queue, work->memory[tensor], CL_TRUE, 0, bytes, data, 0,
                                  NULL, NULL));
    return data;
}

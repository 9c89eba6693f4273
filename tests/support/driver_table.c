#include "driver_table.h"

#include <stdlib.h>

struct an_cl *table;
struct an_cl real;
char device_id[32];

int restore(void **state)
{
    (void)state;
    unsetenv("ANYNORM_QUIRKS");
    if (table)
        *table = real;
    return 0;
}

int take_table(void **state)
{
    (void)state;
    if (an_cl_load(&table) == ANYNORM_OK)
        real = *table;
    else
        table = NULL;
    return 0;
}

bool have_device(void)
{
    return find_opencl_device(device_id);
}

anynorm_spec usual_spec(void)
{
    return usual_problem(1).spec;
}

anynorm_status wait_for_usual(anynorm_device *device, anynorm_plan *plan)
{
    struct problem problem = usual_problem(1);
    struct work work;
    struct caller caller = {.device = device};
    anynorm_event event = {0};
    assert_ok(anynorm_opencl_device_handles(device, &caller.context, &caller.cl_id));
    work_make(&caller, &problem, &work);
    cl_command_queue queue = make_queue(&caller, 0);
    assert_ok(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event));
    anynorm_status status = anynorm_event_wait(&event);
    if (status == ANYNORM_OK)
        work_check(&work, queue, "usual");
    anynorm_event_release(&event);
    assert_cl(clReleaseCommandQueue(queue));
    work_free(&work);
    return status;
}

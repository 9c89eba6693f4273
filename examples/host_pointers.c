/* LayerNorm of a matrix in host memory on the best device there is. */
#include <stdio.h>

#include <anynorm/anynorm.h>

int main(void)
{
    const float x[2][4] = {{1, 2, 3, 4}, {-1, 0, 0, 9}}, weight[4] = {1, 1, 2, 2};
    float y[2][4];
    anynorm_spec spec = {
        .columns = 4, .flags = ANYNORM_WEIGHT, .statistic.eps = ANYNORM_EPS_DEFAULT};
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_device_open(NULL, &device);
    if (status == ANYNORM_OK)
        status = anynorm_plan_create(device, &spec, NULL, &plan);
    if (status == ANYNORM_OK)
        status = anynorm_run(plan, &(anynorm_host_tensors){.x = x, .y = y, .weight = weight}, 2);
    if (status == ANYNORM_OK)
        printf("%g %g %g %g\n%g %g %g %g\n", y[0][0], y[0][1], y[0][2], y[0][3], y[1][0], y[1][1],
               y[1][2], y[1][3]);
    else
        fprintf(stderr, "%s: %s\n", anynorm_status_name(status), anynorm_message());
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    return status == ANYNORM_OK ? 0 : 1;
}

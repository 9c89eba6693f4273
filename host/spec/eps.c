#include "spec.h"

#include <float.h>
#include <math.h>

/* Denormals may count as 0 on a device. Above the limit some variance, and eps, may add up to more
 * than there is; below it, no eps is lost in the division of its inverse. */
bool an_spec_eps_inverse(const anynorm_spec *spec)
{
    bool wide = an_spec_double(spec);
    return spec->statistic.eps > 0 && (spec->statistic.eps < (wide ? DBL_MIN : (double)FLT_MIN) ||
                                       spec->statistic.eps > (wide ? 0x1p970 : 0x1p100));
}

double an_spec_kernel_eps(const anynorm_spec *spec)
{
    if (!an_spec_eps_inverse(spec))
        return spec->statistic.eps;
    double inverse =
        1 / (spec->flags & AN_EPS_OF_DEVIATION ? spec->statistic.eps : sqrt(spec->statistic.eps));
    return fmin(inverse, an_spec_double(spec) ? DBL_MAX : (double)FLT_MAX);
}

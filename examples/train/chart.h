/* Curves drawn as SVG. */
#ifndef TRAIN_CHART_H
#define TRAIN_CHART_H

#include <stdbool.h>
#include <stdio.h>

struct series {
    const double *values; /* what is not finite leaves a gap, what is outside the chart its edge */
    int count;
    const char *style; /* its class in the page's CSS */
    const char *label;
};

struct chart {
    const char *title, *across, *up; /* what the axes count */
    bool logarithmic;                /* upwards, in powers of ten */
    double low, high;                /* of the vertical axis; logarithms, where it is so */
    const struct series *series;
    int count;
};

void chart_write(FILE *file, const struct chart *chart);

#endif

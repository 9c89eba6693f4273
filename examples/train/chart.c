#include "chart.h"

#include <math.h>

/* In units of the drawing, of which a phone's width has about as many as pixels. */
static const double width = 360, height = 250, left = 46, right = 12, top = 12, bottom = 40;

static double x_of(int i, int count)
{
    return left + (width - left - right) * (count > 1 ? (double)i / (count - 1) : 0.5);
}

static double y_of(const struct chart *chart, double value)
{
    double part = (value - chart->low) / (chart->high - chart->low);
    return height - bottom - (height - top - bottom) * fmin(fmax(part, 0), 1);
}

/* The next of 1, 2, 5, 10, 20, ... that is no less. */
static double round_up(double value)
{
    double power = pow(10, floor(log10(value))), part = value / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static void write_mark(FILE *file, const struct chart *chart, double at, double value)
{
    double y = y_of(chart, at);
    fprintf(file, "<path class=grid d='M%.1f %.1fH%.1f'/>", left, y, width - right);
    fprintf(file, "<text x=%.1f y=%.1f text-anchor=end>%.4g</text>\n", left - 6, y + 4, value);
}

static void write_upward_axis(FILE *file, const struct chart *chart)
{
    static const double parts[] = {1, 2, 5};
    double span = chart->high - chart->low, every = round_up(span / 6), slack = 1e-9;
    for (double at = chart->low; !chart->logarithmic && at <= chart->high + slack; at += every)
        write_mark(file, chart, at, at);
    for (double power = floor(chart->low); chart->logarithmic && power <= chart->high; power++) {
        for (int i = 0; i < (span > 2 ? 1 : 3); i++) {
            double at = power + log10(parts[i]);
            if (at >= chart->low - slack && at <= chart->high + slack)
                write_mark(file, chart, at, pow(10, at));
        }
    }
    fprintf(file, "<text transform='translate(12 %.1f) rotate(-90)' text-anchor=middle>%s</text>\n",
            (height - bottom + top) / 2, chart->up);
}

static void write_across_axis(FILE *file, const struct chart *chart)
{
    int count = chart->series[0].count, every = (int)round_up(fmax(count / 6.0, 1));
    for (int i = every; i <= count; i += every)
        fprintf(file, "<text x=%.1f y=%.1f text-anchor=middle>%d</text>", x_of(i - 1, count),
                height - bottom + 16, i);
    fprintf(file, "<text x=%.1f y=%.1f text-anchor=middle>%s</text>\n", (left + width - right) / 2,
            height - 6, chart->across);
}

static void write_series(FILE *file, const struct chart *chart, const struct series *series)
{
    bool down = false; /* the pen */
    fprintf(file, "<path class='line %s' d='", series->style);
    for (int i = 0; i < series->count; i++) {
        double value = chart->logarithmic ? log10(series->values[i]) : series->values[i];
        if (isfinite(value))
            fprintf(file, "%c%.1f %.1f", down ? 'L' : 'M', x_of(i, series->count),
                    y_of(chart, value));
        down = isfinite(value);
    }
    fprintf(file, "'/>\n");
}

void chart_write(FILE *file, const struct chart *chart)
{
    fprintf(file, "<figure><figcaption>%s<br>", chart->title);
    for (int i = 0; i < chart->count; i++)
        fprintf(file,
                "<span><svg class=key viewBox='0 0 22 8'><path class='line %s' d='M0 4H22'/></svg>"
                " %s</span> ",
                chart->series[i].style, chart->series[i].label);
    fprintf(file, "</figcaption>\n<svg viewBox='0 0 %.0f %.0f' role=img aria-label='%s'>\n", width,
            height, chart->title);
    write_upward_axis(file, chart);
    write_across_axis(file, chart);
    for (int i = 0; i < chart->count; i++)
        write_series(file, chart, &chart->series[i]);
    fprintf(file, "</svg></figure>\n");
}

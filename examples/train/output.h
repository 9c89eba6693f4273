/* Files in the folder for results. What fails ends the program with one line. */
#ifndef TRAIN_OUTPUT_H
#define TRAIN_OUTPUT_H

#include <stdio.h>

struct output {
    char path[4096];
    FILE *file;
};

void output_open(struct output *output, const char *folder, const char *name);
void output_close(struct output *output);

#endif

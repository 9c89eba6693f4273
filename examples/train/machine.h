/* The OpenCL device: its queue, memory, our kernels, and CLBlast's multiplication. Whatever fails
 * ends the program with one line. */
#ifndef TRAIN_MACHINE_H
#define TRAIN_MACHINE_H

#include <anynorm/opencl.h>

enum kernel {
    EMBED,
    EMBED_GRADIENT,
    POSITIONS_GRADIENT,
    ADD,
    SUM_COLUMNS,
    GELU,
    GELU_GRADIENT,
    ATTEND,
    ATTEND_GRADIENT_QUERIES,
    ATTEND_GRADIENT_KEYS,
    CROSS_ENTROPY,
    ADAM,
    KERNELS
};

struct machine {
    cl_context context;
    cl_device_id id;
    cl_command_queue queue; /* in order */
    cl_program program;
    cl_kernel kernels[KERNELS];
    anynorm_device *norms; /* the same device, as anynorm sees it */
};

/* A kernel's arguments: memory first, then integers, then floats. */
struct arguments {
    cl_mem memory[5];
    cl_int integers[3];
    cl_float floats[5];
};

void machine_check(cl_int code, const char *what);
void machine_check_norm(anynorm_status status);

void machine_open(struct machine *machine);
void machine_close(struct machine *machine);
/* Its name and its driver's, for the page. */
void machine_describe(const struct machine *machine, char *text, size_t capacity);

cl_mem machine_memory(struct machine *machine, size_t numbers);
void machine_write(struct machine *machine, cl_mem memory, size_t bytes, const void *host);
/* Waits for all that was enqueued before. */
void machine_read(struct machine *machine, cl_mem memory, size_t bytes, void *host);
void machine_launch(struct machine *machine, enum kernel kernel, int columns, int rows,
                    const struct arguments *arguments);

/* c[rows][columns] = a b [+ c], of row-major matrices with `inner` columns of a and rows of b;
 * either may lie transposed. */
enum product { PLAIN = 0, A_TRANSPOSED = 1, B_TRANSPOSED = 2, ADD_TO_C = 4 };
void machine_multiply(struct machine *machine, int flags, int rows, int columns, int inner,
                      cl_mem a, cl_mem b, cl_mem c);

#endif

/* What host memory a block of rows is made of, on its way to a device and back. */
#ifndef AN_RUN_PIECES_H
#define AN_RUN_PIECES_H

#include "backend.h"

/* Host memory of one tensor, or of several that share it: either itself, wrapped, where the device
 * can reach it, or a device buffer that is filled before and read after the kernel. */
struct an_piece {
    char *host;
    uint64_t bytes;
    bool fill; /* the device reads it, or must hand back what it does not write */
    bool read; /* the device writes it */
    bool copied;
    bool scattered; /* only the elements of outputs may be written back */
    bool wrapped;
    /* Where the host has it in `parts` equal parts (0: it is whole) so many bytes apart; only an
     * input is. */
    uint64_t parts;
    uint64_t apart;
    anynorm_buffer buffer;
};

/* Rows [first, first + rows) of the tensors at host[], parameters left out. */
struct an_block {
    const anynorm_spec *spec;
    char *const *host; /* by tensor; NULL for those that are not there */
    uint64_t first;
    uint64_t rows;
    struct an_piece pieces[AN_TENSOR_COUNT];
    int count;
    int piece_of[AN_TENSOR_COUNT]; /* index into pieces */
};

/* Its pieces, of a call of `of_rows` rows; no buffers yet. */
void an_block_lay_out(const anynorm_spec *spec, char *const host[AN_TENSOR_COUNT], uint64_t of_rows,
                      uint64_t first, uint64_t rows, struct an_block *block);

/* Makes the buffers, and those of the block's tensors in *tensors. On failure some are made. */
anynorm_status an_block_open(anynorm_device *device, struct an_block *block,
                             anynorm_tensors *tensors);

/* Hands what was written to the host if `status`, that of the work so far, is OK, and drops the
 * buffers. Returns `status`, with the message that came with it, if it is a failure; else the first
 * failure of these steps. */
anynorm_status an_block_close(anynorm_device *device, struct an_block *block,
                              anynorm_status status);

/* The piece of a tensor that all blocks share. */
struct an_piece an_piece_of_parameters(const anynorm_spec *spec, enum an_tensor tensor, char *host);
anynorm_status an_piece_open(anynorm_device *device, struct an_piece *piece);
anynorm_status an_pieces_drop(anynorm_device *device, struct an_piece *pieces, int count,
                              anynorm_status status);

#endif

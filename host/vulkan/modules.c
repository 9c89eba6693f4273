/* A module out of its pieces. */
#include "modules.h"

#include <string.h>

void an_module_write(const struct an_module *module, uint32_t *words)
{
    for (size_t i = 0; i < module->piece_count; i++) {
        const struct an_module_piece piece = module->pieces[i];
        memcpy(words, an_module_pool + piece.from, piece.count * sizeof(*words));
        words += piece.count;
    }
}

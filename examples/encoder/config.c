/* config.json, as BERT's has it. */
#include "config.h"

#include "common.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

/* What is refused unless it is said so, or not said at all. */
static const struct {
    const char *name;
    const char *value;
} demands[] = {
    {"hidden_act", "gelu"},
    {"position_embedding_type", "absolute"},
    {"model_type", "bert"},
};

static void read_value(struct json *json, const char *name, struct config *config)
{
    const struct {
        const char *name;
        size_t *value;
    } sizes[] = {
        {"hidden_size", &config->hidden},
        {"num_hidden_layers", &config->layers},
        {"num_attention_heads", &config->heads},
        {"intermediate_size", &config->intermediate},
        {"max_position_embeddings", &config->positions},
    };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(name, sizes[i].name) == 0) {
            *sizes[i].value = json_count(json);
            return;
        }
    }
    for (size_t i = 0; i < sizeof demands / sizeof *demands; i++) {
        char value[32];

        if (strcmp(name, demands[i].name) == 0) {
            json_string(json, value, sizeof value);
            if (strcmp(value, demands[i].value) != 0)
                fail("%s: %s is '%s', and this example knows '%s' only", json->subject, name, value,
                     demands[i].value);
            return;
        }
    }
    if (strcmp(name, "layer_norm_eps") == 0)
        config->eps = json_number(json);
    else
        json_skip(json);
}

struct config config_read(const char *folder)
{
    enum { MOST = 1 << 20 }; /* so that no product of three sizes overflows */
    struct config config = {.eps = -1};
    size_t size;
    char *text = read_text(folder, "config.json", &size);
    struct json json = {text, text + size, "config.json"};
    bool first = true;

    json_need(&json, '{');
    while (json_more(&json, '}', &first)) {
        char name[64];

        json_string(&json, name, sizeof name);
        json_need(&json, ':');
        read_value(&json, name, &config);
    }
    free(text);
    if (!config.hidden || !config.layers || !config.heads || !config.intermediate ||
        !config.positions || config.eps < 0)
        fail("config.json: it must say hidden_size, num_hidden_layers, num_attention_heads, "
             "intermediate_size, max_position_embeddings and layer_norm_eps");
    if (config.hidden > MOST || config.layers > MOST || config.intermediate > MOST ||
        config.positions > MOST)
        fail("config.json: a size is above %d", (int)MOST);
    if (config.hidden % config.heads)
        fail("config.json: %zu heads do not divide a hidden_size of %zu", config.heads,
             config.hidden);
    return config;
}

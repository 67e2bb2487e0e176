/* Reads a log from standard input and prints what the rules say of it: detections, and alarms over several lines.
 *
 *     cc -std=c11 log_alarms.c $(pkg-config --cflags --libs smesec) -o log_alarms
 *     ./log_alarms < /var/log/auth.log
 *     ./log_alarms rules/ more_rules.yml < /var/log/auth.log
 *
 * Without rule files the library's own rules judge. Exit status: 0 nothing told, 1 something, 2 rules that
 * cannot be read. */
#include "smesec.h"

#include <stdio.h>
#include <string.h>

static smesec_bytes text(const char *from) {
    smesec_bytes b = {(const uint8_t *)from, strlen(from)};
    return b;
}

static int fail(const char *what) {
    smesec_bytes why = smesec_last_error();
    fprintf(stderr, "%s: %.*s\n", what, (int)why.len, why.len ? (const char *)why.data : "");
    return 2;
}

static void print(void *user, const smesec_event *event) {
    int *told = user;
    smesec_event_fields fields;
    memset(&fields, 0, sizeof fields);
    fields.size = sizeof fields;
    if (smesec_event_fields_of(event, &fields) == SMESEC_STATUS_OK) {
        printf("severity %u: %.*s\n", fields.severity, (int)fields.message.len, (const char *)fields.message.data);
        ++*told;
    }
}

static smesec_siem_engine *load(int count, char **paths) {
    smesec_siem_rules_builder *builder = NULL;
    smesec_siem_rules *rules = NULL;
    smesec_siem_engine *engine = NULL;
    if (smesec_siem_rules_builder_new(&builder) != SMESEC_STATUS_OK) return NULL;
    smesec_status status = SMESEC_STATUS_OK;
    if (count == 0) status = smesec_siem_rules_builder_builtin(builder);
    for (int n = 0; n < count && status == SMESEC_STATUS_OK; n++) {
        status = smesec_siem_rules_builder_path(builder, text(paths[n]));
    }
    if (status == SMESEC_STATUS_OK) status = smesec_siem_rules_builder_build(builder, &rules);
    /* A log that is read at once is a stored one: its own time stamps count, and all is judged at its end. */
    smesec_siem_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.stored = true;
    if (status == SMESEC_STATUS_OK) smesec_siem_engine_new(rules, &options, &engine);
    smesec_siem_rules_builder_free(builder);
    smesec_siem_rules_free(rules);
    return engine;
}

int main(int argc, char **argv) {
    static uint8_t piece[1 << 16];
    int told = 0;
    smesec_sink *sink = NULL;
    smesec_sink_vtable table;
    memset(&table, 0, sizeof table);
    table.size = sizeof table;
    table.accept = print;
    if (smesec_abi_version() != SMESEC_ABI) return fail("another library than this program was built with");
    if (smesec_sink_new(&table, &told, &sink) != SMESEC_STATUS_OK) return fail("sink");
    smesec_siem_engine *engine = load(argc - 1, argv + 1);
    if (engine == NULL) {
        fail("rules");
        smesec_sink_free(sink);
        return 2;
    }

    smesec_status status = SMESEC_STATUS_OK;
    smesec_bytes bytes = {piece, 0};
    while (status == SMESEC_STATUS_OK && (bytes.len = fread(piece, 1, sizeof piece, stdin)) > 0) {
        status = smesec_siem_engine_feed(engine, text("standard input"), text("auto"), bytes, 0, sink);
    }
    if (status == SMESEC_STATUS_OK) status = smesec_siem_engine_finish(engine, sink);
    smesec_siem_statistics met;
    memset(&met, 0, sizeof met);
    met.size = sizeof met;
    if (status == SMESEC_STATUS_OK) status = smesec_siem_engine_statistics(engine, &met);
    if (status != SMESEC_STATUS_OK) fail("log");
    printf("%llu records, %d told\n", (unsigned long long)met.records, told);
    smesec_siem_engine_free(engine);
    smesec_sink_free(sink);
    return status != SMESEC_STATUS_OK ? 2 : told > 0;
}

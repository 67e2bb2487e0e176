/* What a host in C does with logs and with test files: the SIEM engine, and a suite over a server of its own;
 * with every mistake that C allows. Run by tests/c_face.rs. */
#include "smesec.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int failures;
static int checks;

static void expect(int good, const char *what, int line) {
    checks++;
    if (!good) {
        smesec_bytes why = smesec_last_error();
        failures++;
        fprintf(stderr, "engines.c:%d: %s; last error: %.*s\n", line, what, (int)why.len,
                why.len ? (const char *)why.data : "");
    }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)
#define GOOD(call) EXPECT((call) == SMESEC_STATUS_OK)
#define EMPTY(name)              \
    memset(&name, 0, sizeof name); \
    name.size = sizeof name

static smesec_bytes bytes(const char *text) {
    smesec_bytes b;
    b.data = (const uint8_t *)text;
    b.len = strlen(text);
    return b;
}

static const smesec_bytes NOTHING = {NULL, 0};
static const smesec_bytes LIE = {NULL, 5};

struct text {
    char data[1 << 18];
    size_t len;
    int calls;
};

/* Adds a line. */
static void keep(void *user, smesec_bytes text) {
    struct text *kept = user;
    size_t room = sizeof kept->data - 2 - kept->len;
    size_t len = text.len < room ? text.len : room;
    memcpy(kept->data + kept->len, text.data, len);
    kept->len += len;
    kept->data[kept->len++] = '\n';
    kept->data[kept->len] = 0;
    kept->calls++;
}

static int failed_with(const char *part) {
    static struct text why;
    memset(&why, 0, sizeof why);
    keep(&why, smesec_last_error());
    return strstr(why.data, part) != NULL;
}

/* --- logs ------------------------------------------------------------------------------------------ */

static const char RULES[] =
    "title: Failed sign-in\n"
    "id: failed\n"
    "name: failed\n"
    "logsource: {product: linux, service: sshd}\n"
    "detection: {selection: {outcome: failure}, condition: selection}\n"
    "---\n"
    "title: Guessing\n"
    "id: guessing\n"
    "correlation: {type: event_count, rules: [failed], group-by: [src_ip], timespan: 5m, condition: {gte: 3}}\n"
    "---\n"
    "title: An administrator\n"
    "id: administrator\n"
    "level: high\n"
    "logsource: {product: linux, service: sshd}\n"
    "detection: {selection: {'user|expand': '%admins%', outcome: success}, condition: selection}\n";

static const char LOG[] =
    "Mar  2 06:00:00 web01 sshd[812]: Failed password for root from 192.0.2.7 port 4022 ssh2\n"
    "Mar  2 06:00:05 web01 sshd[813]: Failed password for root from 192.0.2.7 port 4023 ssh2\n"
    "Mar  2 06:00:09 web01 sshd[814]: Failed password for root from 192.0.2.7 port 4024 ssh2\n"
    "Mar  2 06:00:12 web01 sshd[815]: Accepted password for anna from 192.0.2.8 port 4025 ssh2\n";

/* 2 March 2026, 06:01 UTC. */
static const int64_t NOW = 1772431260000000000;

static smesec_siem_rules *rules_of(const char *text) {
    smesec_siem_rules_builder *builder = NULL;
    smesec_siem_rules *rules = NULL;
    GOOD(smesec_siem_rules_builder_new(&builder));
    GOOD(smesec_siem_rules_builder_text(builder, bytes("engines.yml"), bytes(text)));
    GOOD(smesec_siem_rules_builder_placeholders(builder, bytes("names.yml"), bytes("admins: [anna, bert]\n")));
    GOOD(smesec_siem_rules_builder_strict(builder, true));
    GOOD(smesec_siem_rules_builder_build(builder, &rules));
    smesec_siem_rules_builder_free(builder);
    return rules;
}

/* A sink that keeps what it is told, and tries what it may not. */
struct listener {
    struct text events;
    smesec_siem_engine *engine;
    const smesec_sink *sink;
    int refused;
};

static void hear(void *user, const smesec_event *event) {
    struct listener *l = user;
    (void)smesec_event_json(event, keep, &l->events);
    if (l->engine != NULL) {
        l->refused += smesec_siem_engine_feed(l->engine, bytes("auth.log"), NOTHING, bytes("x\n"), NOW, l->sink) ==
                      SMESEC_STATUS_WRONG_PHASE;
        l->refused += smesec_siem_engine_finish(l->engine, l->sink) == SMESEC_STATUS_WRONG_PHASE;
    }
}

static smesec_sink *listening(struct listener *l) {
    smesec_sink_vtable table;
    smesec_sink *sink = NULL;
    memset(l, 0, sizeof *l);
    EMPTY(table);
    table.accept = hear;
    GOOD(smesec_sink_new(&table, l, &sink));
    l->sink = sink;
    return sink;
}

static void sshd_lines_raise_an_alarm(void) {
    static struct listener whole, cut;
    smesec_siem_rules *rules = rules_of(RULES);
    smesec_siem_engine *engine = NULL;
    smesec_siem_statistics met;
    static struct text report;
    EXPECT(smesec_siem_rules_len(rules) == 2);
    GOOD(smesec_siem_rules_report(rules, keep, &report));
    EXPECT(strstr(report.data, "\"loaded\":") != NULL && strstr(report.data, "\"refused\":[]") != NULL);

    smesec_sink *sink = listening(&whole);
    GOOD(smesec_siem_engine_new(rules, NULL, &engine));
    whole.engine = engine;
    GOOD(smesec_siem_engine_feed(engine, bytes("auth.log"), bytes("syslog"), bytes(LOG), NOW, sink));
    EXPECT(whole.events.calls == 1 && strstr(whole.events.data, "An administrator") != NULL);
    GOOD(smesec_siem_engine_finish(engine, sink));
    EXPECT(whole.events.calls == 2);
    EXPECT(strstr(whole.events.data, "Guessing: src_ip 192.0.2.7") != NULL);
    EXPECT(strstr(whole.events.data, "\"opened\"") != NULL);
    EXPECT(strstr(whole.events.data, "\"schema_version\":1") != NULL);
    EXPECT(whole.refused == 4);
    EMPTY(met);
    GOOD(smesec_siem_engine_statistics(engine, &met));
    EXPECT(met.records == 4 && met.bytes == sizeof LOG - 1 && met.bad == 0 && met.alarms == 1 && met.origins == 0);
    EXPECT(met.late == 0 && met.limited == 0 && met.replaced == 0 && met.unplaced == 0);
    smesec_siem_engine_free(engine);
    smesec_sink_free(sink);

    /* A byte at a time it is the same; and the time alone lets the alarm out. */
    sink = listening(&cut);
    GOOD(smesec_siem_engine_new(rules, NULL, &engine));
    smesec_siem_rules_free(rules);
    for (size_t at = 0; at < sizeof LOG - 1; at++) {
        smesec_bytes one = {(const uint8_t *)LOG + at, 1};
        GOOD(smesec_siem_engine_feed(engine, bytes("auth.log"), NOTHING, one, NOW, sink));
    }
    EXPECT(cut.events.calls == 1);
    GOOD(smesec_siem_engine_advance(engine, NOW, sink));
    EXPECT(cut.events.calls == 1);
    GOOD(smesec_siem_engine_advance(engine, NOW + 3600 * (int64_t)1000000000, sink));
    EXPECT(cut.events.calls >= 2 && strstr(cut.events.data, "Guessing: src_ip 192.0.2.7") != NULL);
    GOOD(smesec_siem_engine_close(engine, bytes("auth.log"), sink));
    EXPECT(smesec_siem_engine_close(engine, bytes("auth.log"), sink) == SMESEC_STATUS_CONFIG);
    EXPECT(failed_with("`auth.log` is not being read"));
    smesec_siem_engine_free(engine);
    smesec_sink_free(sink);
}

/* One of four hosts at once: an engine of its own over rules and a sink that all share. */
struct host {
    const smesec_siem_rules *rules;
    const smesec_sink *sink;
    smesec_siem_engine *engine;
    unsigned long wrong;
    uint64_t alarms;
    pthread_t thread;
};

static void *judge(void *user) {
    struct host *host = user;
    for (int run = 0; run < 20; run++) {
        smesec_siem_engine *engine = NULL;
        smesec_siem_statistics met;
        EMPTY(met);
        host->wrong += smesec_siem_engine_new(host->rules, NULL, &engine) != SMESEC_STATUS_OK;
        for (size_t at = 0; at < sizeof LOG - 1; at += 37) {
            size_t rest = sizeof LOG - 1 - at;
            smesec_bytes piece = {(const uint8_t *)LOG + at, rest < 37 ? rest : 37};
            host->wrong += smesec_siem_engine_feed(engine, bytes("auth.log"), bytes("syslog"), piece, NOW, host->sink) !=
                           SMESEC_STATUS_OK;
        }
        host->wrong += smesec_siem_engine_finish(engine, host->sink) != SMESEC_STATUS_OK;
        host->wrong += smesec_siem_engine_statistics(engine, &met) != SMESEC_STATUS_OK;
        host->alarms += met.alarms;
        smesec_siem_engine_free(engine);
    }
    return NULL;
}

static void four_threads_have_an_engine_each(void) {
    static struct host hosts[4];
    smesec_siem_rules *rules = rules_of(RULES);
    smesec_sink *queue = NULL;
    static struct listener l;
    smesec_sink *sink = listening(&l);
    GOOD(smesec_sink_queue(1000, &queue));
    for (int n = 0; n < 4; n++) {
        hosts[n].rules = rules;
        hosts[n].sink = queue;
        EXPECT(pthread_create(&hosts[n].thread, NULL, judge, &hosts[n]) == 0);
    }
    for (int n = 0; n < 4; n++) {
        pthread_join(hosts[n].thread, NULL);
        EXPECT(hosts[n].wrong == 0 && hosts[n].alarms == 20);
    }
    GOOD(smesec_sink_drain(queue, 0, sink));
    EXPECT(l.events.calls == 4 * 20 * 2 && smesec_sink_dropped(queue) == 0);
    smesec_siem_rules_free(rules);
    smesec_sink_free(queue);
    smesec_sink_free(sink);
}

/* Four threads on one engine: each call is done, or refused by name; the engine stays whole. */
static void *crowd(void *user) {
    struct host *host = user;
    for (int n = 0; n < 200; n++) {
        smesec_status status =
            smesec_siem_engine_feed(host->engine, bytes("auth.log"), bytes("syslog"), bytes(LOG), NOW, host->sink);
        host->wrong += status != SMESEC_STATUS_OK && status != SMESEC_STATUS_WRONG_PHASE;
    }
    return NULL;
}

static void four_threads_on_one_engine_are_kept_apart(void) {
    static struct host hosts[4];
    smesec_siem_rules *rules = rules_of(RULES);
    smesec_siem_engine *engine = NULL;
    smesec_siem_statistics met;
    smesec_sink *queue = NULL;
    GOOD(smesec_sink_queue(10, &queue));
    GOOD(smesec_siem_engine_new(rules, NULL, &engine));
    for (int n = 0; n < 4; n++) {
        hosts[n].sink = queue;
        hosts[n].engine = engine;
        EXPECT(pthread_create(&hosts[n].thread, NULL, crowd, &hosts[n]) == 0);
    }
    for (int n = 0; n < 4; n++) {
        pthread_join(hosts[n].thread, NULL);
        EXPECT(hosts[n].wrong == 0);
    }
    GOOD(smesec_siem_engine_finish(engine, queue));
    EMPTY(met);
    GOOD(smesec_siem_engine_statistics(engine, &met));
    EXPECT(met.bytes > 0 && met.bytes % (sizeof LOG - 1) == 0 && met.records == met.bytes / (sizeof LOG - 1) * 4);
    smesec_siem_engine_free(engine);
    smesec_siem_rules_free(rules);
    smesec_sink_free(queue);
}

static void the_own_rules_know_guessing(void) {
    static struct listener l;
    smesec_siem_rules_builder *builder = NULL;
    smesec_siem_rules *rules = NULL;
    smesec_siem_engine *engine = NULL;
    smesec_siem_options options;
    smesec_sink *sink = listening(&l);
    GOOD(smesec_siem_rules_builder_new(&builder));
    GOOD(smesec_siem_rules_builder_builtin(builder));
    GOOD(smesec_siem_rules_builder_build(builder, &rules));
    smesec_siem_rules_builder_free(builder);
    EXPECT(smesec_siem_rules_len(rules) > 3);
    EMPTY(options);
    options.stored = true;
    GOOD(smesec_siem_engine_new(rules, &options, &engine));
    for (int n = 0; n < 12; n++) {
        char line[128];
        snprintf(line, sizeof line, "Mar  2 06:%02d:00 web01 sshd[9]: Failed password for anna from 203.0.113.9 port 1 ssh2\n",
                 n / 4);
        GOOD(smesec_siem_engine_feed(engine, bytes("auth.log"), bytes("auto"), bytes(line), NOW, sink));
    }
    EXPECT(strstr(l.events.data, "guessing") == NULL);
    GOOD(smesec_siem_engine_finish(engine, sink));
    EXPECT(strstr(l.events.data, "Password guessing") != NULL);
    smesec_siem_engine_free(engine);
    smesec_siem_rules_free(rules);
    smesec_sink_free(sink);
}

static void bytes_of(void *user, smesec_bytes given) {
    struct text *kept = user;
    EXPECT(given.len < sizeof kept->data);
    memcpy(kept->data, given.data, given.len);
    kept->len = given.len;
    kept->calls++;
}

static const char DIRECTIVES[] =
    "<directives><directive id=\"1\" name=\"Guessing at SRC_IP\" priority=\"5\">\n"
    "  <rule type=\"detector\" name=\"a failure\" reliability=\"4\" occurrence=\"1\" from=\"ANY\" to=\"ANY\" port_from=\"ANY\"\n"
    "    port_to=\"ANY\" plugin_id=\"4003\" plugin_sid=\"1\"/></directive></directives>\n";

/* A site around the rules, and an engine that goes on where another one stood. */
static void a_site_and_a_snapshot(void) {
    static struct listener heard;
    static struct text state, report;
    smesec_siem_rules *rules = rules_of(RULES);
    smesec_siem_engine *first = NULL, *second = NULL;
    smesec_siem_options options;
    smesec_sink *sink = listening(&heard);
    smesec_bytes two = {(const uint8_t *)LOG, (size_t)(strstr(LOG, "Mar  2 06:00:09") - LOG)};
    size_t skipped = 9;

    EMPTY(options);
    options.home_net = bytes("nowhere");
    EXPECT(smesec_siem_engine_new(rules, &options, &first) == SMESEC_STATUS_CONFIG && failed_with("nowhere"));
    options.home_net = bytes("192.0.2.0/24, 10.0.0.0/8");
    options.assets = bytes("hosts: {192.0.2.7: 9}");
    EXPECT(smesec_siem_engine_new(rules, &options, &first) == SMESEC_STATUS_RULE && failed_with("assets:1:"));
    options.assets = bytes("hosts: {192.0.2.7: 5}");
    options.policies = bytes("policies: [{name: of no importance, types: [administrator], then: never}]");
    EXPECT(smesec_siem_engine_new(rules, &options, &first) == SMESEC_STATUS_RULE && failed_with("policies:1:"));
    options.policies = bytes("policies: [{name: of no importance, types: [administrator], then: drop}]");
    options.directives = bytes("<directives>");
    EXPECT(smesec_siem_engine_new(rules, &options, &first) == SMESEC_STATUS_RULE && failed_with("directives:"));
    options.directives = bytes(DIRECTIVES);
    GOOD(smesec_siem_engine_new(rules, &options, &first));
    GOOD(smesec_siem_engine_new(rules, &options, &second));
    smesec_siem_rules_free(rules);
    GOOD(smesec_siem_engine_report(first, keep, &report));
    EXPECT(strstr(report.data, "\"loaded\":1") != NULL);

    GOOD(smesec_siem_engine_feed(first, bytes("auth.log"), bytes("syslog"), two, NOW, sink));
    GOOD(smesec_siem_engine_snapshot(first, bytes_of, &state));
    EXPECT(state.calls == 1 && state.len > 32);
    smesec_siem_engine_free(first);
    EXPECT(heard.events.calls == 0);

    smesec_bytes held = {(const uint8_t *)state.data, state.len};
    smesec_bytes cut = {held.data, held.len - 1};
    EXPECT(smesec_siem_engine_restore(second, cut, &skipped) == SMESEC_STATUS_CONFIG && skipped == 9);
    GOOD(smesec_siem_engine_restore(second, held, &skipped));
    EXPECT(skipped == 0);
    smesec_bytes rest = bytes(LOG + two.len);
    GOOD(smesec_siem_engine_feed(second, bytes("auth.log"), bytes("syslog"), rest, NOW, sink));
    GOOD(smesec_siem_engine_finish(second, sink));
    EXPECT(strstr(heard.events.data, "Guessing: src_ip 192.0.2.7") != NULL);
    EXPECT(strstr(heard.events.data, "An administrator") == NULL);

    EXPECT(smesec_siem_engine_report(NULL, keep, &report) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_report(second, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_snapshot(NULL, keep, &report) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_snapshot(second, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_restore(NULL, held, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_restore(second, LIE, NULL) == SMESEC_STATUS_NULL);
    smesec_siem_engine_free(second);
    smesec_sink_free(sink);
}

static void what_is_wrong_with_logs_is_told(void) {
    static struct listener l;
    static struct text bad;
    smesec_siem_rules_builder *builder = NULL;
    smesec_siem_rules *rules = NULL;
    smesec_siem_engine *engine = NULL;
    smesec_siem_options options;
    smesec_siem_statistics met;
    smesec_sink *sink = listening(&l);

    EXPECT(smesec_siem_rules_builder_new(NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_rules_builder_text(NULL, NOTHING, NOTHING) == SMESEC_STATUS_NULL);
    GOOD(smesec_siem_rules_builder_new(&builder));
    EXPECT(smesec_siem_rules_builder_text(builder, LIE, NOTHING) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_rules_builder_text(builder, bytes("a"), bytes("\xff")) == SMESEC_STATUS_CONFIG);
    EXPECT(failed_with("UTF-8"));
    EXPECT(smesec_siem_rules_builder_build(builder, NULL) == SMESEC_STATUS_NULL);
    GOOD(smesec_siem_rules_builder_path(builder, bytes("/nowhere/at/all.yml")));
    EXPECT(smesec_siem_rules_builder_build(builder, &rules) == SMESEC_STATUS_IO && rules == NULL);
    EXPECT(failed_with("/nowhere/at/all.yml"));
    EXPECT(smesec_siem_rules_builder_build(builder, &rules) == SMESEC_STATUS_WRONG_PHASE);
    EXPECT(smesec_siem_rules_builder_builtin(builder) == SMESEC_STATUS_WRONG_PHASE);
    smesec_siem_rules_builder_free(builder);
    GOOD(smesec_siem_rules_builder_new(&builder));
    GOOD(smesec_siem_rules_builder_strict(builder, true));
    GOOD(smesec_siem_rules_builder_text(builder, bytes("b.yml"), bytes("title: t\nlogsource: {product: x}\n")));
    EXPECT(smesec_siem_rules_builder_build(builder, &rules) == SMESEC_STATUS_RULE && failed_with("b.yml:1:1"));
    smesec_siem_rules_builder_free(builder);
    GOOD(smesec_siem_rules_builder_new(&builder));
    GOOD(smesec_siem_rules_builder_pipeline(builder, bytes("p.yml"), bytes("[")));
    EXPECT(smesec_siem_rules_builder_build(builder, &rules) != SMESEC_STATUS_OK && failed_with("p.yml"));
    smesec_siem_rules_builder_free(builder);
    smesec_siem_rules_builder_free(NULL);
    EXPECT(smesec_siem_rules_len(NULL) == 0);
    EXPECT(smesec_siem_rules_report(NULL, keep, &bad) == SMESEC_STATUS_NULL);

    rules = rules_of(RULES);
    EXPECT(smesec_siem_rules_report(rules, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_new(NULL, NULL, &engine) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_new(rules, NULL, NULL) == SMESEC_STATUS_NULL);
    EMPTY(options);
    options.size = 3;
    EXPECT(smesec_siem_engine_new(rules, &options, &engine) == SMESEC_STATUS_CONFIG && engine == NULL);
    options.size = sizeof options;
    options.lateness_nanos = -1;
    EXPECT(smesec_siem_engine_new(rules, &options, &engine) == SMESEC_STATUS_CONFIG);
    options.lateness_nanos = 1;
    options.stored = true;
    EXPECT(smesec_siem_engine_new(rules, &options, &engine) == SMESEC_STATUS_CONFIG);
    options.stored = false;
    options.origins = 2;
    options.event_bytes = 200;
    options.bad_line = keep;
    options.bad_line_user = &bad;
    GOOD(smesec_siem_engine_new(rules, &options, &engine));
    smesec_siem_rules_free(rules);
    GOOD(smesec_siem_engine_feed(engine, bytes("a"), bytes("json"), bytes("{\"user\": \n{}\n"), 0, sink));
    EXPECT(bad.calls == 1 && strncmp(bad.data, "a:1: ", 5) == 0);
    EXPECT(smesec_siem_engine_feed(engine, bytes("a"), bytes("csv"), NOTHING, 0, sink) == SMESEC_STATUS_CONFIG);
    EXPECT(failed_with("read as `json`"));
    EXPECT(smesec_siem_engine_feed(engine, bytes("b"), bytes("nonsense"), NOTHING, 0, sink) == SMESEC_STATUS_CONFIG);
    EXPECT(failed_with("journal-export"));
    EXPECT(smesec_siem_engine_feed(engine, bytes("b"), bytes("pattern"), NOTHING, 0, sink) == SMESEC_STATUS_CONFIG);
    GOOD(smesec_siem_engine_feed(engine, bytes("b"), bytes("text"), bytes("\xff\xfd\n"), 0, sink));
    EXPECT(smesec_siem_engine_feed(engine, bytes("c"), bytes("text"), NOTHING, 0, sink) == SMESEC_STATUS_LIMIT);
    EXPECT(failed_with("`origins`"));
    EXPECT(smesec_siem_engine_feed(engine, bytes("a"), bytes("json"), LIE, 0, sink) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_feed(engine, bytes("a"), bytes("json"), NOTHING, 0, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_feed(NULL, bytes("a"), bytes("json"), NOTHING, 0, sink) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_advance(engine, 0, NULL) == SMESEC_STATUS_NULL);
    GOOD(smesec_siem_engine_advance(engine, 0, sink));
    EXPECT(smesec_siem_engine_finish(NULL, sink) == SMESEC_STATUS_NULL);
    EXPECT(smesec_siem_engine_statistics(engine, NULL) == SMESEC_STATUS_NULL);
    memset(&met, 0, sizeof met);
    EXPECT(smesec_siem_engine_statistics(engine, &met) == SMESEC_STATUS_CONFIG);
    met.size = sizeof met;
    GOOD(smesec_siem_engine_statistics(engine, &met));
    EXPECT(met.records == 2 && met.bad == 1 && met.replaced == 1 && met.origins == 2);
    smesec_siem_engine_free(engine);
    smesec_siem_engine_free(NULL);
    smesec_siem_rules_free(NULL);
    smesec_sink_free(sink);
}

/* --- tests ----------------------------------------------------------------------------------------- */

/* A server: 200 and a bill for /in, 403 for all else, one connection after another. */
struct server {
    int socket;
    int port;
    pthread_t thread;
    struct text seen;
};

static void *serve(void *user) {
    struct server *s = user;
    for (;;) {
        char request[4096];
        size_t len = 0, body = 0;
        char *end = NULL;
        int client = accept(s->socket, NULL, NULL);
        if (client < 0) return NULL;
        while (len < sizeof request - 1) {
            ssize_t got = recv(client, request + len, sizeof request - 1 - len, 0);
            if (got <= 0) break;
            len += (size_t)got;
            request[len] = 0;
            end = strstr(request, "\r\n\r\n");
            if (end != NULL) {
                const char *field = strstr(request, "ontent-");
                while (field != NULL && strncmp(field + 7, "Length: ", 8) != 0 && strncmp(field + 7, "length: ", 8) != 0) {
                    field = strstr(field + 1, "ontent-");
                }
                body = field ? strtoul(field + 15, NULL, 10) : 0;
                if ((size_t)(request + len - end - 4) >= body) break;
            }
        }
        if (end != NULL) {
            const char *answer = strstr(request, " /in ") != NULL
                                     ? "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 35\r\n"
                                       "Connection: close\r\n\r\n{\"paid\": true, \"token\": \"anybodys\"}"
                                     : "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            keep(&s->seen, bytes(request));
            (void)send(client, answer, strlen(answer), MSG_NOSIGNAL);
        }
        close(client);
    }
}

static void start(struct server *s) {
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    memset(s, 0, sizeof *s);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->socket = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(bind(s->socket, (struct sockaddr *)&address, sizeof address) == 0 && listen(s->socket, 8) == 0);
    EXPECT(getsockname(s->socket, (struct sockaddr *)&address, &len) == 0);
    s->port = ntohs(address.sin_port);
    EXPECT(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void stop(struct server *s) {
    shutdown(s->socket, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->socket);
}

static const char SHOP[] =
    "test_name: the front door lets hunter2secret in\n"
    "stages:\n"
    "  - name: login\n"
    "    request:\n"
    "      url: 'http://127.0.0.1:%d/in'\n"
    "      method: POST\n"
    "      json: {password: '[CONFIDENTIAL]', day: '{tavern.env_vars.DAY}', more: {$ext: {function: 'shop:more', extra_args: [7]}}}\n"
    "    response: {status_code: 200, verify_response_with: {function: 'shop:is_paid', extra_kwargs: {least: 2}}}\n"
    "---\n"
    "test_name: the back door is open\n"
    "stages:\n"
    "  - name: knock\n"
    "    request: {url: 'http://127.0.0.1:%d/back'}\n"
    "    response: {status_code: 200}\n"
    "---\n"
    "test_name: the check fails\n"
    "stages:\n"
    "  - name: look\n"
    "    request: {url: 'http://127.0.0.1:%d/in'}\n"
    "    response: {status_code: 200, verify_response_with: {function: 'shop:refuses'}}\n"
    "---\n"
    "test_name: nobody knows this function\n"
    "stages:\n"
    "  - name: look\n"
    "    request: {url: 'http://127.0.0.1:%d/in'}\n"
    "    response: {status_code: 200, verify_response_with: {function: 'elsewhere:check'}}\n"
    "---\n"
    "test_name: nobody listens\n"
    "_xfail: run\n"
    "stages:\n"
    "  - name: knock\n"
    "    request: {url: 'http://127.0.0.1:1/'}\n"
    "    response: {status_code: 200}\n";

struct shop {
    struct text arguments;
    int freed;
};

static bool offers(void *user, smesec_bytes function) {
    (void)user;
    return function.len > 5 && memcmp(function.data, "shop:", 5) == 0;
}

static void call(void *user, smesec_bytes function, smesec_bytes arguments, smesec_answer *answer) {
    struct shop *shop = user;
    keep(&shop->arguments, arguments);
    EXPECT(smesec_answer_value(answer, bytes("{")) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_answer_value(answer, LIE) == SMESEC_STATUS_NULL);
    EXPECT(smesec_answer_value(NULL, bytes("1")) == SMESEC_STATUS_NULL);
    EXPECT(smesec_answer_failure(NULL, NOTHING) == SMESEC_STATUS_NULL);
    if (function.len == 9) {
        GOOD(smesec_answer_value(answer, bytes("{\"from\": [\"the\", \"host\"]}")));
    } else if (function.len == 12 && memcmp(function.data, "shop:refuses", 12) == 0) {
        GOOD(smesec_answer_failure(answer, bytes("the bill is not paid")));
    }
}

static void let_go(void *user) {
    ((struct shop *)user)->freed++;
}

static smesec_test_counts ran(const smesec_tests *tests, struct text *lines) {
    smesec_test_counts counts;
    memset(lines, 0, sizeof *lines);
    EMPTY(counts);
    GOOD(smesec_tests_run(tests, keep, lines, &counts, NULL));
    return counts;
}

/* A report as text, in which the secret never stands. */
static const char *written(const smesec_report *report, uint32_t form) {
    static struct text text;
    memset(&text, 0, sizeof text);
    GOOD(smesec_report_write(report, form, keep, &text));
    EXPECT(text.calls == 1 && strstr(text.data, "hunter2secret") == NULL);
    return text.data;
}

static void test_files_run_against_a_server(void) {
    static struct server server;
    static struct shop shop;
    static struct text lines, report;
    static char text[4096];
    smesec_extension_vtable table;
    smesec_tests_options options;
    smesec_tests *tests = NULL;
    smesec_report *kept = NULL;
    start(&server);
    int port = server.port;
    snprintf(text, sizeof text, SHOP, port, port, port, port);
    smesec_test_file file = {bytes("shop.tavern.yaml"), bytes(text)};
    smesec_setting env = {bytes("DAY"), bytes("monday")}, secret = {bytes("LOGIN_PASSWORD"), bytes("hunter2secret")};
    EMPTY(table);
    table.offers = offers;
    table.call = call;
    table.free = let_go;
    EMPTY(options);
    options.env = &env;
    options.env_count = 1;
    options.secrets = &secret;
    options.secret_count = 1;
    options.extension = &table;
    options.extension_user = &shop;
    GOOD(smesec_tests_load(&options, &file, 1, &tests));
    EXPECT(smesec_tests_len(tests) == 5);
    GOOD(smesec_tests_report(tests, keep, &report));
    EXPECT(strstr(report.data, "\"refused\":[]") != NULL && strstr(report.data, "[\"127.0.0.1\",1]") != NULL);
    EXPECT(server.seen.calls == 0);

    smesec_test_counts counts = ran(tests, &lines);
    EXPECT(lines.calls == 5);
    EXPECT(counts.passed == 1 && counts.failed == 2 && counts.skipped == 1 && counts.expected_failures == 1);
    EXPECT(counts.refused == 0 && counts.size == sizeof counts);
    if (failures) fprintf(stderr, "%s%s%s", report.data, lines.data, shop.arguments.data);
    EXPECT(strstr(lines.data, "lets [masked] in") != NULL && strstr(lines.data, "hunter2secret") == NULL);
    EXPECT(strstr(lines.data, "\"verdict\":\"xfailed\"") != NULL && strstr(lines.data, "elsewhere:check") != NULL);
    EXPECT(strstr(lines.data, "the bill is not paid") != NULL && strstr(lines.data, "403") != NULL);
    EXPECT(strstr(server.seen.data, "hunter2secret") != NULL && strstr(server.seen.data, "monday") != NULL);
    EXPECT(strstr(server.seen.data, "\"host\"") != NULL);
    EXPECT(strstr(shop.arguments.data, "\"args\": [7]") != NULL);
    EXPECT(strstr(shop.arguments.data, "\"least\": 2") != NULL && strstr(shop.arguments.data, "\"status\":200") != NULL);
    EXPECT(strstr(shop.arguments.data, "\"response\": null") != NULL);
    EXPECT(shop.freed == 0);
    GOOD(smesec_tests_run(tests, NULL, NULL, NULL, &kept));
    smesec_tests_free(tests);
    EXPECT(shop.freed == 1);
    EXPECT(strstr(written(kept, SMESEC_REPORT_FORM_JUNIT), "<testsuite") != NULL);
    EXPECT(strstr(written(kept, SMESEC_REPORT_FORM_SARIF), "\"2.1.0\"") != NULL);
    EXPECT(strstr(written(kept, SMESEC_REPORT_FORM_HTML), "shop.tavern.yaml") != NULL);
    EXPECT(strstr(written(kept, SMESEC_REPORT_FORM_JSON_LINES), "\"failed\":2") != NULL);
    EXPECT(smesec_report_write(kept, 4, keep, &lines) == SMESEC_STATUS_CONFIG && failed_with("form `4`"));
    EXPECT(smesec_report_write(kept, 0, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_report_write(NULL, 0, keep, &lines) == SMESEC_STATUS_NULL);
    smesec_report_free(kept);
    smesec_report_free(NULL);
    stop(&server);
}

static void what_is_wrong_with_tests_is_told(void) {
    static struct text lines;
    static struct shop shop;
    smesec_extension_vtable table;
    smesec_tests_options options;
    smesec_test_counts counts;
    smesec_tests *tests = NULL;
    smesec_test_file nowhere = {bytes("/nowhere/at/all.tavern.yaml"), NOTHING}, lie = {LIE, NOTHING};
    smesec_test_file wrong = {bytes("w.tavern.yaml"), bytes("test_name: t\nstages: [{name: s, nonsense: 1}]\n")};
    EXPECT(smesec_tests_load(NULL, NULL, 1, &tests) == SMESEC_STATUS_NULL);
    EXPECT(smesec_tests_load(NULL, &lie, 1, &tests) == SMESEC_STATUS_NULL);
    EXPECT(smesec_tests_load(NULL, &wrong, 1, NULL) == SMESEC_STATUS_NULL);
    EXPECT(tests == NULL);
    EMPTY(options);
    EMPTY(table);
    table.free = let_go;
    options.extension = &table;
    options.extension_user = &shop;
    EXPECT(smesec_tests_load(&options, &wrong, 1, &tests) == SMESEC_STATUS_NULL && failed_with("`call`"));
    table.call = call;
    EXPECT(smesec_tests_load(&options, &wrong, 1, NULL) == SMESEC_STATUS_NULL);
    table.size = 1;
    EXPECT(smesec_tests_load(&options, &wrong, 1, &tests) == SMESEC_STATUS_CONFIG);
    options.size = 1;
    EXPECT(smesec_tests_load(&options, &wrong, 1, &tests) == SMESEC_STATUS_CONFIG);
    options.size = sizeof options;
    options.extension = NULL;
    options.env_count = 1;
    EXPECT(smesec_tests_load(&options, &wrong, 1, &tests) == SMESEC_STATUS_NULL && failed_with("`env`"));
    EXPECT(shop.freed == 0 && tests == NULL);

    GOOD(smesec_tests_load(NULL, &nowhere, 1, &tests));
    EMPTY(counts);
    EXPECT(smesec_tests_run(tests, keep, &lines, &counts, NULL) == SMESEC_STATUS_RULE);
    EXPECT(failed_with("/nowhere/at/all.tavern.yaml:1:1") && lines.calls == 0);
    smesec_tests_free(tests);
    GOOD(smesec_tests_load(NULL, &wrong, 1, &tests));
    counts = ran(tests, &lines);
    EXPECT(counts.refused == 1 && strstr(lines.data, "\"verdict\":\"refused\"") != NULL);
    counts.size = 2;
    EXPECT(smesec_tests_run(tests, keep, &lines, &counts, NULL) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_tests_run(NULL, keep, &lines, NULL, NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_tests_report(tests, NULL, NULL) == SMESEC_STATUS_NULL);
    smesec_tests_free(tests);
    smesec_tests_free(NULL);
    EXPECT(smesec_tests_len(NULL) == 0);
    GOOD(smesec_tests_load(NULL, NULL, 0, &tests));
    counts = ran(tests, &lines);
    EXPECT(counts.passed == 0 && lines.calls == 0);
    smesec_tests_free(tests);
}

/* --- the audit ------------------------------------------------------------------------------------- */

static const char TARGET[] =
    "base: http://127.0.0.1:%d\n"
    "denied: []\n"
    "users:\n"
    "  anna: {role: user, name: anna, password: {env: ANNA}}\n"
    "  root: {role: admin, name: root, password: hunter2secret}\n"
    "signin: {method: POST, path: /in, json: {name: '{name}', password: '{password}'}, token: {json: token, header: X-Token}}\n"
    "routes:\n"
    "  - {method: GET, path: /in, allow: [admin]}\n"
    "  - {method: GET, path: /back, allow: [user]}\n";

static void an_audit_tries_the_doors(void) {
    static struct server server;
    static struct text lines, told;
    static char text[4096];
    smesec_audit_options options;
    smesec_test_counts counts;
    smesec_audit *audit = NULL;
    smesec_report *report = NULL;
    start(&server);
    snprintf(text, sizeof text, TARGET, server.port);
    smesec_setting env = {bytes("ANNA"), bytes("hunter2secret")};
    EMPTY(options);
    options.env = &env;
    options.env_count = 1;
    GOOD(smesec_audit_load(&options, bytes("target.yaml"), bytes(text), &audit));
    GOOD(smesec_audit_report(audit, keep, &told));
    EXPECT(strstr(told.data, "\"hosts\":[[\"127.0.0.1\",") != NULL && strstr(told.data, "\"requests\":") != NULL);
    memset(&told, 0, sizeof told);
    GOOD(smesec_audit_plan(audit, keep, &told));
    EXPECT(told.calls > 3 && strstr(told.data, "/back") != NULL && strstr(told.data, "hunter2secret") == NULL);
    EXPECT(server.seen.calls == 0);
    EMPTY(counts);
    GOOD(smesec_audit_run(audit, keep, &lines, &counts, &report));
    EXPECT(server.seen.calls > 3 && counts.failed > 0 && counts.expected_failures == 0);
    EXPECT((size_t)lines.calls == counts.passed + counts.failed + counts.refused + counts.skipped);
    EXPECT(strstr(lines.data, "\"verdict\":\"failed\"") != NULL && strstr(lines.data, "hunter2secret") == NULL);
    EXPECT(strstr(written(report, SMESEC_REPORT_FORM_SARIF), "target.yaml") != NULL);
    EXPECT(strstr(written(report, SMESEC_REPORT_FORM_JSON_LINES), "\"cell\":") != NULL);
    if (failures) fprintf(stderr, "%s", lines.data);
    smesec_report_free(report);
    smesec_audit_free(audit);
    stop(&server);

    options.env_count = 0;
    EXPECT(smesec_audit_load(&options, bytes("target.yaml"), bytes(text), &audit) == SMESEC_STATUS_RULE);
    EXPECT(audit == NULL && failed_with("target.yaml:4:") && failed_with("ANNA"));
    options.env_count = 1;
    smesec_bytes only = bytes("nonsense");
    options.only = &only;
    options.only_count = 1;
    EXPECT(smesec_audit_load(&options, bytes("target.yaml"), bytes(text), &audit) == SMESEC_STATUS_CONFIG);
    EXPECT(failed_with("`nonsense`"));
    options.only = NULL;
    EXPECT(smesec_audit_load(&options, bytes("target.yaml"), bytes(text), &audit) == SMESEC_STATUS_NULL);
    options.size = 1;
    EXPECT(smesec_audit_load(&options, bytes("target.yaml"), bytes(text), &audit) == SMESEC_STATUS_CONFIG);
    EXPECT(smesec_audit_load(NULL, bytes("/nowhere/target.yaml"), NOTHING, &audit) == SMESEC_STATUS_IO);
    EXPECT(smesec_audit_load(NULL, LIE, NOTHING, &audit) == SMESEC_STATUS_NULL);
    EXPECT(smesec_audit_load(NULL, bytes("t"), bytes("base: x"), NULL) == SMESEC_STATUS_NULL);
    EXPECT(smesec_audit_run(NULL, NULL, NULL, NULL, &report) == SMESEC_STATUS_NULL);
    EXPECT(smesec_audit_plan(NULL, keep, &told) == SMESEC_STATUS_NULL);
    EXPECT(smesec_audit_report(NULL, keep, &told) == SMESEC_STATUS_NULL);
    smesec_audit_free(NULL);
}

int main(void) {
    /* They change with SMESEC_ABI only. */
    EXPECT(sizeof(void *) != 8 || (sizeof(smesec_siem_options) == 144 && sizeof(smesec_siem_statistics) == 80 &&
                                   sizeof(smesec_tests_options) == 104 && sizeof(smesec_test_counts) == 48 &&
                                   sizeof(smesec_extension_vtable) == 32 && sizeof(smesec_setting) == 32 &&
                                   sizeof(smesec_test_file) == 32 && sizeof(smesec_audit_options) == 48));
    sshd_lines_raise_an_alarm();
    a_site_and_a_snapshot();
    four_threads_have_an_engine_each();
    four_threads_on_one_engine_are_kept_apart();
    the_own_rules_know_guessing();
    what_is_wrong_with_logs_is_told();
    test_files_run_against_a_server();
    what_is_wrong_with_tests_is_told();
    an_audit_tries_the_doors();
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}

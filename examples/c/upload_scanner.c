/* Three engines as one: an address list and an upload scanner written in C, composed with the firewall.
 *
 *     cc -std=c11 upload_scanner.c $(pkg-config --cflags --libs smesec) -lpthread -o upload_scanner
 *
 * The firewall takes a multipart body apart and hands each file to the scanner. The scan is long work: the
 * step answers PENDING, a thread of the host's runs it, and the verdict comes when its result is handed
 * back. Every event goes to a printer and to a counter behind a detector. The scanner looks for the
 * EICAR test file, the agreed harmless sample. */
#include "smesec.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static smesec_bytes text(const char *from) {
    smesec_bytes b;
    b.data = (const uint8_t *)from;
    b.len = strlen(from);
    return b;
}

static void must(smesec_status status, const char *what) {
    if (status != SMESEC_STATUS_OK) {
        smesec_bytes why = smesec_last_error();
        fprintf(stderr, "%s: %.*s\n", what, (int)why.len, why.len ? (const char *)why.data : "");
        exit(2);
    }
}

/* --- the scanner --------------------------------------------------------------------------------- */

/* In two halves, so that no scanner takes this program for the sample. */
static const char SAMPLE_HEAD[] = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR";
static const char SAMPLE_TAIL[] = "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

static void scan(void *user, smesec_bytes name, smesec_bytes data, smesec_findings *findings) {
    const char *sample = user;
    size_t len = strlen(sample);
    for (size_t at = 0; at + len <= data.len; at++) {
        if (memcmp(data.data + at, sample, len) == 0) {
            smesec_finding finding;
            memset(&finding, 0, sizeof finding);
            finding.size = sizeof finding;
            finding.rule_id = text("eicar");
            finding.rule_name = text("EICAR test file");
            finding.part = name;
            finding.message = text("the EICAR test file");
            finding.severity = 5;
            smesec_findings_add(findings, &finding);
            return;
        }
    }
}

/* --- the address list ---------------------------------------------------------------------------- */

static void *list_begin(void *user, const smesec_connection *connection) {
    const char *refused = user;
    int *state = malloc(sizeof *state);
    if (state != NULL) {
        *state = connection->client_address.len == strlen(refused) &&
                 memcmp(connection->client_address.data, refused, strlen(refused)) == 0;
    }
    return state;
}

static void list_head(void *state, const smesec_request_head *head, smesec_findings *findings,
                      smesec_verdict *verdict) {
    const int *refused = state;
    smesec_finding finding;
    if (refused != NULL && !*refused) return;
    verdict->action = SMESEC_ACTION_DENY;
    verdict->status = 403;
    memset(&finding, 0, sizeof finding);
    finding.size = sizeof finding;
    finding.rule_id = text("address-list");
    finding.part = text("client");
    finding.evidence = head->target;
    finding.message = text("the address is on the list");
    finding.severity = 3;
    smesec_findings_add(findings, &finding);
}

/* --- the counter behind a detector ---------------------------------------------------------------- */

struct counter {
    unsigned long seen, raised;
};

static void count(void *user, const smesec_event *event, const smesec_sink *raised) {
    struct counter *counter = user;
    smesec_event_fields fields;
    smesec_event *alarm = NULL;
    memset(&fields, 0, sizeof fields);
    fields.size = sizeof fields;
    if (smesec_event_fields_of(event, &fields) != SMESEC_STATUS_OK) return;
    if (++counter->seen != 2) return;
    memset(&fields, 0, sizeof fields);
    fields.size = sizeof fields;
    fields.unix_nanos = 1;
    fields.id_counter = ++counter->raised;
    fields.message = text("two blocked requests");
    fields.severity = 4;
    if (smesec_event_new(&fields, &alarm) == SMESEC_STATUS_OK) smesec_sink_accept(raised, alarm);
    smesec_event_free(alarm);
}

static void print_message(void *user, const smesec_event *event) {
    smesec_event_fields fields;
    memset(&fields, 0, sizeof fields);
    fields.size = sizeof fields;
    if (smesec_event_fields_of(event, &fields) == SMESEC_STATUS_OK) {
        fprintf(user, "event: %.*s, %zu findings\n", (int)fields.message.len, (const char *)fields.message.data,
                smesec_event_finding_count(event));
    }
}

/* --- the host ------------------------------------------------------------------------------------ */

static void *run(void *work) {
    must(smesec_work_run(work), "work");
    return NULL;
}

static smesec_verdict upload(const smesec_filter *filter, const smesec_sink *sink, const char *client,
                             const char *content) {
    static const char BEFORE[] = "--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"boots.jpg\"\r\n"
                                 "Content-Type: image/jpeg\r\n\r\n";
    static const char AFTER[] = "\r\n--b--\r\n";
    smesec_connection connection;
    memset(&connection, 0, sizeof connection);
    connection.size = sizeof connection;
    connection.client_address = text(client);
    connection.server_address = text("192.0.2.2");
    connection.server_port = 80;
    smesec_transaction *transaction = NULL;
    must(smesec_filter_begin(filter, &connection, &transaction), "begin");
    must(smesec_transaction_defer(transaction, true), "defer");

    char length[32];
    snprintf(length, sizeof length, "%zu", strlen(BEFORE) + strlen(content) + strlen(AFTER));
    smesec_header headers[3];
    headers[0].name = text("Host"), headers[0].value = text("shop.example");
    headers[1].name = text("Content-Type"), headers[1].value = text("multipart/form-data; boundary=b");
    headers[2].name = text("Content-Length"), headers[2].value = text(length);
    smesec_request_head head;
    memset(&head, 0, sizeof head);
    head.size = sizeof head;
    head.method = text("POST");
    head.target = text("/upload");
    head.version = text("HTTP/1.1");
    head.headers = headers;
    head.header_count = 3;
    smesec_verdict verdict;
    memset(&verdict, 0, sizeof verdict);
    verdict.size = sizeof verdict;
    must(smesec_transaction_request_head(transaction, &head, &verdict), "head");
    if (verdict.action < SMESEC_ACTION_DENY) {
        must(smesec_transaction_request_body(transaction, text(BEFORE), false, &verdict), "body");
        must(smesec_transaction_request_body(transaction, text(content), false, &verdict), "body");
        must(smesec_transaction_request_body(transaction, text(AFTER), true, &verdict), "body");
    }
    while (verdict.action == SMESEC_ACTION_PENDING) {
        smesec_work *work = NULL;
        pthread_t thread;
        must(smesec_transaction_take_work(transaction, &work), "take work");
        if (work == NULL || pthread_create(&thread, NULL, run, work) != 0) exit(2);
        pthread_join(thread, NULL);
        must(smesec_transaction_resume(transaction, work, &verdict), "resume");
        smesec_work_free(work);
    }
    smesec_outcome outcome;
    memset(&outcome, 0, sizeof outcome);
    outcome.size = sizeof outcome;
    outcome.status = verdict.action == SMESEC_ACTION_DENY ? verdict.status : 200;
    must(smesec_transaction_finish_into(transaction, &outcome, sink), "finish");
    smesec_transaction_free(transaction);
    return verdict;
}

int main(void) {
    char sample[128];
    snprintf(sample, sizeof sample, "%s%s", SAMPLE_HEAD, SAMPLE_TAIL);

    smesec_scanner_vtable scanner_table;
    memset(&scanner_table, 0, sizeof scanner_table);
    scanner_table.size = sizeof scanner_table;
    scanner_table.scan = scan;
    scanner_table.concurrent = true;
    smesec_scanner *scanner = NULL;
    must(smesec_scanner_new(&scanner_table, sample, &scanner), "scanner");

    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *rules = NULL;
    smesec_waf *waf = NULL;
    smesec_waf_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.mode = SMESEC_MODE_BLOCK;
    must(smesec_ruleset_builder_new(&builder), "builder");
    must(smesec_ruleset_builder_text(builder, text("upload.conf"), text("SecRequestBodyAccess On\n")), "rules");
    must(smesec_ruleset_builder_build(builder, &rules), "rules");
    smesec_ruleset_builder_free(builder);
    must(smesec_waf_new(rules, &options, &waf), "waf");
    smesec_ruleset_free(rules);

    char refused[] = "203.0.113.9";
    smesec_filter_vtable list_table;
    memset(&list_table, 0, sizeof list_table);
    list_table.size = sizeof list_table;
    list_table.begin = list_begin;
    list_table.request_head = list_head;
    list_table.free_state = free;
    smesec_filter *parts[2] = {NULL, NULL}, *chain = NULL, *filter = NULL;
    must(smesec_filter_new(&list_table, refused, &parts[0]), "list");
    must(smesec_filter_waf(waf, &parts[1]), "waf as filter");
    must(smesec_filter_chain((const smesec_filter *const *)parts, 2, &chain), "chain");
    must(smesec_filter_scanning(chain, scanner, 1 << 20, &filter), "scanning");

    struct counter counter = {0, 0};
    smesec_sink_vtable printer_table;
    memset(&printer_table, 0, sizeof printer_table);
    printer_table.size = sizeof printer_table;
    printer_table.accept = print_message;
    smesec_detector_vtable counter_table;
    memset(&counter_table, 0, sizeof counter_table);
    counter_table.size = sizeof counter_table;
    counter_table.observe = count;
    smesec_sink *sinks[2] = {NULL, NULL}, *tee = NULL;
    must(smesec_sink_new(&printer_table, stdout, &sinks[0]), "printer");
    must(smesec_sink_detector(&counter_table, &counter, 100, &sinks[1]), "detector");
    must(smesec_sink_tee((const smesec_sink *const *)sinks, 2, &tee), "tee");

    smesec_verdict verdict = upload(filter, tee, "192.0.2.1", "an honest photo");
    printf("a photo: action %u\n", verdict.action);
    verdict = upload(filter, tee, "192.0.2.1", sample);
    printf("a sample: action %u, status %u\n", verdict.action, verdict.status);
    verdict = upload(filter, tee, refused, "an honest photo");
    printf("from the list: action %u, status %u\n", verdict.action, verdict.status);
    must(smesec_sink_drain(sinks[1], 0, sinks[0]), "drain");
    printf("counted %lu, alarms %lu\n", counter.seen, counter.raised);

    smesec_sink_free(tee);
    smesec_sink_free(sinks[0]);
    smesec_sink_free(sinks[1]);
    smesec_filter_free(filter);
    smesec_filter_free(chain);
    smesec_filter_free(parts[0]);
    smesec_filter_free(parts[1]);
    smesec_waf_free(waf);
    smesec_scanner_free(scanner);
    return 0;
}

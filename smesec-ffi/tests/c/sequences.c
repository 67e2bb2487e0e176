/* Calls in any order: some hundred thousand steps over a few handles, chosen by a generator that can be repeated.
 * What may come of a call is a status; anything else the sanitizers see. Run by tests/c_face.rs. */
#include "smesec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 60000, HANDLES = 4 };

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t number(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % below;
}

static smesec_bytes bytes(const char *text) {
    smesec_bytes b;
    b.data = (const uint8_t *)text;
    b.len = strlen(text);
    return b;
}

static const char *const TEXTS[] = {
    "", "a", "q=1'+union+select+2--", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n", "hello\r\n--b--\r\n",
    "{\"a\":[1,", "2]}", "<script>alert(1)</script>", "%00%c0%af\xff\xfe", "multipart/form-data; boundary=b",
    "application/json", "application/x-www-form-urlencoded", "/?q=../../etc/passwd", "POST", "Content-Type", "\r\n",
};

static smesec_bytes any(void) {
    smesec_bytes none = {NULL, 0}, lie = {NULL, 5};
    uint32_t n = number(sizeof TEXTS / sizeof *TEXTS + 2);
    return n < sizeof TEXTS / sizeof *TEXTS ? bytes(TEXTS[n]) : n % 2 ? none : lie;
}

static unsigned long told;

static void tell(void *user, smesec_bytes text) {
    (void)user;
    told += text.len;
}

static void scan(void *user, smesec_bytes name, smesec_bytes data, smesec_findings *findings) {
    smesec_finding finding;
    (void)user;
    memset(&finding, 0, sizeof finding);
    finding.size = number(8) ? sizeof finding : 3;
    finding.part = name;
    finding.evidence = data;
    finding.severity = number(7);
    if (number(2)) (void)smesec_findings_add(findings, &finding);
    if (number(4) == 0) (void)smesec_findings_skip(findings, any(), any());
}

static void *begin(void *user, const smesec_connection *connection) {
    (void)connection;
    return user;
}

static void head(void *user, const smesec_request_head *seen, smesec_findings *findings, smesec_verdict *verdict) {
    (void)user;
    scan(NULL, seen->target, seen->method, findings);
    verdict->action = number(4) ? SMESEC_ACTION_PASS : number(12);
}

static void work(void *user, smesec_findings *findings, smesec_verdict *verdict) {
    (void)user;
    scan(NULL, any(), any(), findings);
    verdict->action = number(9);
}

static const smesec_filter *composed(smesec_filter **parts, smesec_scanner *scanner, smesec_waf *waf) {
    smesec_filter_vtable table;
    memset(&table, 0, sizeof table);
    table.size = sizeof table;
    table.begin = begin;
    table.request_head = head;
    table.work = work;
    if (smesec_filter_new(&table, NULL, &parts[0]) || smesec_filter_waf(waf, &parts[1]) ||
        smesec_filter_chain((const smesec_filter *const *)parts, 2, &parts[2]) ||
        smesec_filter_scanning(parts[2], scanner, 1000, &parts[3])) {
        exit(2);
    }
    return parts[3];
}

int main(void) {
    smesec_transaction *transactions[HANDLES] = {NULL};
    smesec_work *works[HANDLES] = {NULL};
    smesec_filter *parts[4] = {NULL};
    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *rules = NULL;
    smesec_waf *waf = NULL;
    smesec_scanner *scanner = NULL;
    smesec_scanner_vtable table;
    unsigned long statuses[100] = {0};
    memset(&table, 0, sizeof table);
    table.size = sizeof table;
    table.scan = scan;
    if (smesec_ruleset_builder_new(&builder) || smesec_ruleset_builder_builtin(builder) ||
        smesec_ruleset_builder_text(builder, bytes("x"), bytes("SecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n"
                                                              "SecRule RESPONSE_BODY \"@contains script\" \"id:1,phase:4,deny\"")) ||
        smesec_ruleset_builder_build(builder, &rules) || smesec_waf_new(rules, NULL, &waf) ||
        smesec_scanner_new(&table, NULL, &scanner)) {
        return 2;
    }
    const smesec_filter *filter = composed(parts, scanner, waf);
    for (int n = 0; n < STEPS; n++) {
        uint32_t which = number(HANDLES);
        smesec_transaction **t = &transactions[which];
        smesec_work **w = &works[number(HANDLES)];
        smesec_status status = SMESEC_STATUS_OK;
        smesec_verdict verdict;
        smesec_header header = {any(), any()};
        smesec_connection connection;
        smesec_request_head request;
        smesec_response_head response;
        smesec_outcome outcome;
        smesec_finding finding;
        bool wanted;
        uint64_t hold;
        memset(&verdict, 0, sizeof verdict);
        memset(&connection, 0, sizeof connection);
        memset(&request, 0, sizeof request);
        memset(&response, 0, sizeof response);
        memset(&outcome, 0, sizeof outcome);
        memset(&finding, 0, sizeof finding);
        verdict.size = number(50) ? sizeof verdict : number(30);
        connection.size = sizeof connection;
        connection.client_address = number(20) ? bytes("2001:db8::1") : any();
        connection.server_address = bytes("192.0.2.1");
        request.size = sizeof request;
        request.method = any();
        request.target = any();
        request.version = bytes("HTTP/1.1");
        header.name = number(2) ? bytes("Content-Type") : any();
        request.headers = &header;
        request.header_count = number(2);
        response.size = sizeof response;
        response.headers = number(9) ? &header : NULL;
        response.header_count = 1;
        response.status = (uint16_t)number(1000);
        outcome.size = sizeof outcome;
        finding.size = sizeof finding;
        switch (number(16)) {
        case 0:
        case 1:
            smesec_transaction_free(*t);
            *t = NULL;
            status = smesec_filter_begin(filter, &connection, t);
            if (*t) (void)smesec_transaction_defer(*t, number(2));
            break;
        case 2:
        case 3: status = smesec_transaction_request_head(*t, &request, &verdict); break;
        case 4:
        case 5:
        case 6: status = smesec_transaction_request_body(*t, any(), number(3) == 0, &verdict); break;
        case 7: status = smesec_transaction_response_head(*t, &response, &verdict); break;
        case 8: status = smesec_transaction_response_body(*t, any(), number(3) == 0, &verdict); break;
        case 9:
            smesec_work_free(*w);
            *w = NULL;
            status = smesec_transaction_take_work(*t, w);
            break;
        case 10: status = smesec_work_run(*w); break;
        case 11: status = smesec_transaction_resume(*t, *w, &verdict); break;
        case 12: status = smesec_transaction_wants(*t, number(7), &wanted, &hold); break;
        case 13: status = smesec_transaction_finding(*t, number(3), &finding); break;
        case 14: status = smesec_transaction_findings_json(*t, number(9) ? tell : NULL, NULL); break;
        default: status = number(4) ? smesec_waf_reload(waf, rules, NULL) : smesec_transaction_finish(*t, &outcome, tell, NULL);
        }
        statuses[status < 100 ? status : 98]++;
    }
    for (int n = 0; n < HANDLES; n++) {
        smesec_transaction_free(transactions[n]);
        smesec_work_free(works[n]);
        smesec_filter_free(parts[n]);
    }
    smesec_scanner_free(scanner);
    smesec_waf_free(waf);
    smesec_ruleset_free(rules);
    smesec_ruleset_builder_free(builder);
    /* Some of each kind, or the sequences were none; and no defect. */
    int failures = statuses[SMESEC_STATUS_OK] < 10000 || statuses[SMESEC_STATUS_NULL] < 100 ||
                   statuses[SMESEC_STATUS_WRONG_PHASE] < 1000 || statuses[SMESEC_STATUS_PANIC] != 0 || told == 0;
    printf("%d checks, %d failures\n", STEPS, failures);
    return failures;
}

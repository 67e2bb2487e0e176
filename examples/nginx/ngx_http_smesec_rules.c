/* Rule sets: collected from the directives, compiled once in the master, shared by all locations that have
 * the same; overlays for what differs; the firewalls of a worker over both. */
#include "ngx_http_smesec.h"

/* --- directives ---------------------------------------------------------------------------------- */

static ngx_http_smesec_source_t *ngx_http_smesec_push(ngx_conf_t *cf, ngx_http_smesec_loc_conf_t *conf) {
    ngx_http_smesec_source_t *source;
    if (conf->sources == NULL) {
        conf->sources = ngx_array_create(cf->pool, 2, sizeof *source);
        if (conf->sources == NULL) {
            return NULL;
        }
    }
    source = ngx_array_push(conf->sources);
    if (source != NULL) {
        ngx_memzero(source, sizeof *source);
        if (cf->conf_file != NULL) {
            source->file = cf->conf_file->file.name;
            source->line = cf->conf_file->line;
        }
    }
    return source;
}

/* smesec_rules builtin | file | pattern of files, in the order of their names. */
char *ngx_http_smesec_rules_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_str_t *value = cf->args->elts;
    ngx_http_smesec_source_t *source;
    ngx_str_t path = value[1], name;
    ngx_glob_t glob;
    ngx_int_t rc;
    ngx_uint_t found = 0;

    if (ngx_strcmp(path.data, "builtin") == 0) {
        source = ngx_http_smesec_push(cf, conf);
        if (source == NULL) {
            return NGX_CONF_ERROR;
        }
        source->kind = NGX_HTTP_SMESEC_BUILTIN;
        return NGX_CONF_OK;
    }
    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    if (strpbrk((char *)path.data, "*?[") == NULL) {
        source = ngx_http_smesec_push(cf, conf);
        if (source == NULL) {
            return NGX_CONF_ERROR;
        }
        source->kind = NGX_HTTP_SMESEC_FILE;
        source->value = path;
        return NGX_CONF_OK;
    }

    ngx_memzero(&glob, sizeof glob);
    glob.pattern = path.data;
    glob.log = cf->log;
    glob.test = 1;
    if (ngx_open_glob(&glob) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, ngx_open_glob_n " \"%V\" failed", &path);
        return NGX_CONF_ERROR;
    }
    for (;;) {
        rc = ngx_read_glob(&glob, &name);
        if (rc != NGX_OK) {
            break;
        }
        source = ngx_http_smesec_push(cf, conf);
        if (source == NULL) {
            ngx_close_glob(&glob);
            return NGX_CONF_ERROR;
        }
        source->kind = NGX_HTTP_SMESEC_FILE;
        source->value.len = name.len;
        source->value.data = ngx_pstrdup(cf->pool, &name);
        if (source->value.data == NULL) {
            ngx_close_glob(&glob);
            return NGX_CONF_ERROR;
        }
        found++;
    }
    ngx_close_glob(&glob);
    return found ? NGX_CONF_OK : "names no file";
}

char *ngx_http_smesec_rules_inline(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_str_t *value = cf->args->elts;
    ngx_http_smesec_source_t *source = ngx_http_smesec_push(cf, conf);
    size_t n;
    if (source == NULL) {
        return NGX_CONF_ERROR;
    }
    source->kind = NGX_HTTP_SMESEC_TEXT;
    source->value = value[1];
    /* The directive was read to its end. */
    for (n = 0; n < value[1].len; n++) {
        source->line -= value[1].data[n] == '\n' && source->line > 1;
    }
    return NGX_CONF_OK;
}

static ngx_int_t ngx_http_smesec_id(u_char *from, size_t len, uint64_t *id) {
    size_t n;
    if (len == 0 || len > 18) {
        return NGX_ERROR;
    }
    *id = 0;
    for (n = 0; n < len; n++) {
        if (from[n] < '0' || from[n] > '9') {
            return NGX_ERROR;
        }
        *id = *id * 10 + (from[n] - '0');
    }
    return NGX_OK;
}

static ngx_str_t ngx_http_smesec_rest(ngx_str_t text, size_t from) {
    text.data += from;
    text.len -= from;
    return text;
}

/* A day, YYYY-MM-DD: the exception holds until its first second in UTC. */
static ngx_int_t ngx_http_smesec_day(ngx_str_t text, int64_t *nanos) {
    static const uint64_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year, month, day, leap;
    int64_t days, shifted;
    if (text.len != 10 || text.data[4] != '-' || text.data[7] != '-' ||
        ngx_http_smesec_id(text.data, 4, &year) != NGX_OK || ngx_http_smesec_id(text.data + 5, 2, &month) != NGX_OK ||
        ngx_http_smesec_id(text.data + 8, 2, &day) != NGX_OK || year < 1971 || year > 2200 || month < 1 || month > 12 ||
        day < 1) {
        return NGX_ERROR;
    }
    leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + leap) {
        return NGX_ERROR;
    }
    /* Gauss' count of days, March first, so that the leap day is the year's last. */
    shifted = (int64_t)year - (month < 3);
    days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 +
           (153 * ((int64_t)(month + 9) % 12) + 2) / 5 + (int64_t)day - 1 - 719468;
    *nanos = days * 86400 * 1000000000;
    return NGX_OK;
}

/* Whether a worker will be able to take an exception: asked of a firewall without rules, since a worker that
 * cannot start takes the site down. */
static smesec_status ngx_http_smesec_try(const smesec_exception *exception) {
    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *rules = NULL;
    smesec_waf *waf = NULL, *overlay = NULL;
    smesec_status status = smesec_ruleset_builder_new(&builder);
    if (status == SMESEC_STATUS_OK) {
        status = smesec_ruleset_builder_build(builder, &rules);
    }
    if (status == SMESEC_STATUS_OK) {
        status = smesec_waf_new(rules, NULL, &waf);
    }
    if (status == SMESEC_STATUS_OK) {
        status = smesec_waf_overlay(waf, SMESEC_MODE_RULES, exception, 1, &overlay);
    }
    smesec_waf_free(overlay);
    smesec_waf_free(waf);
    smesec_ruleset_free(rules);
    smesec_ruleset_builder_free(builder);
    return status;
}

/* smesec_exception [rule=942100[-942999]] [tag=...] [target=ARGS:q] [path=/prefix] [until=YYYY-MM-DD] [reason=...] */
char *ngx_http_smesec_exception(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_http_smesec_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;
    smesec_exception *exception;
    ngx_str_t why;
    ngx_uint_t n, earlier;

    if (lcf->exceptions == NULL) {
        lcf->exceptions = ngx_array_create(cf->pool, 2, sizeof *exception);
        if (lcf->exceptions == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    exception = ngx_array_push(lcf->exceptions);
    if (exception == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_memzero(exception, sizeof *exception);
    exception->size = sizeof *exception;
    for (n = 1; n < cf->args->nelts; n++) {
        ngx_str_t text = value[n];
        u_char *dash, *equals = ngx_strlchr(text.data, text.data + text.len, '=');
        for (earlier = 1; equals != NULL && earlier < n; earlier++) {
            if (ngx_strncmp(value[earlier].data, text.data, (size_t)(equals - text.data) + 1) == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" comes twice; write an exception for each", &text);
                return NGX_CONF_ERROR;
            }
        }
#define IS(key) (text.len > sizeof(key) && ngx_strncmp(text.data, key "=", sizeof(key)) == 0)
#define REST(key) ngx_http_smesec_rest(text, sizeof(key))
        if (IS("rule")) {
            text = REST("rule");
            dash = ngx_strlchr(text.data, text.data + text.len, '-');
            if (ngx_http_smesec_id(text.data, dash ? (size_t)(dash - text.data) : text.len, &exception->first_rule) !=
                    NGX_OK ||
                exception->first_rule == 0 ||
                (dash && (ngx_http_smesec_id(dash + 1, (size_t)(text.data + text.len - dash - 1),
                                             &exception->last_rule) != NGX_OK ||
                          exception->last_rule < exception->first_rule))) {
                return "has a rule that is neither an id nor a range of ids";
            }
        } else if (IS("tag")) {
            exception->tag = ngx_http_smesec_bytes(REST("tag"));
        } else if (IS("target")) {
            exception->target = ngx_http_smesec_bytes(REST("target"));
        } else if (IS("path")) {
            exception->path_prefix = ngx_http_smesec_bytes(REST("path"));
        } else if (IS("reason")) {
            exception->reason = ngx_http_smesec_bytes(REST("reason"));
        } else if (IS("until")) {
            if (ngx_http_smesec_day(REST("until"), &exception->expires_unix_nanos) != NGX_OK) {
                return "has an \"until\" that is no day between 1971 and 2200, such as 2030-12-31";
            }
        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is unknown; smesec_exception takes rule=, tag=, target=, path=, until=, reason=",
                               &value[n]);
            return NGX_CONF_ERROR;
        }
#undef IS
#undef REST
    }
    if (exception->first_rule == 0 && exception->tag.len == 0 && exception->target.len == 0 &&
        exception->path_prefix.len == 0) {
        return "takes every rule away; name some by rule=, tag= or target=, or the place by path=";
    }
    if (ngx_http_smesec_try(exception) != SMESEC_STATUS_OK) {
        why = ngx_http_smesec_str(smesec_last_error());
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "smesec: %V", &why);
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}

/* --- merging ------------------------------------------------------------------------------------- */

static ngx_uint_t ngx_http_smesec_same(ngx_str_t *one, ngx_str_t *other) {
    return one->len == other->len && ngx_memcmp(one->data, other->data, one->len) == 0;
}

static void ngx_http_smesec_free_set(void *data) {
    ngx_http_smesec_set_t *set = data;
    smesec_waf_free(set->waf);
    smesec_ruleset_free(set->rules);
    set->waf = NULL;
    set->rules = NULL;
}

static void ngx_http_smesec_free_overlay(void *data) {
    ngx_http_smesec_overlay_t *overlay = data;
    smesec_waf_free(overlay->waf);
    overlay->waf = NULL;
}

static void *ngx_http_smesec_cleaned(ngx_conf_t *cf, size_t size, ngx_pool_cleanup_pt clean) {
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(cf->pool, size);
    if (cleanup == NULL) {
        return NULL;
    }
    ngx_memzero(cleanup->data, size);
    cleanup->handler = clean;
    return cleanup->data;
}

/* Rules of the configuration, at their lines in it: empty lines stand for what is before them. */
static smesec_status ngx_http_smesec_inline(ngx_conf_t *cf, smesec_ruleset_builder *builder,
                                            ngx_http_smesec_source_t *source) {
    size_t before = source->line != 0 ? source->line - 1 : 0;
    ngx_str_t text;
    text.len = before + source->value.len;
    text.data = ngx_pnalloc(cf->temp_pool, text.len + 1);
    if (text.data == NULL) {
        return SMESEC_STATUS_LIMIT;
    }
    ngx_memset(text.data, '\n', before);
    ngx_memcpy(text.data + before, source->value.data, source->value.len);
    return smesec_ruleset_builder_text(builder, ngx_http_smesec_bytes(source->file), ngx_http_smesec_bytes(text));
}

/* Compiles a set; each rule that is not in force is an error of its own, by file and line. */
static char *ngx_http_smesec_compile(ngx_conf_t *cf, ngx_http_smesec_set_t *set) {
    ngx_http_smesec_source_t *source = set->sources.elts;
    smesec_ruleset_builder *builder = NULL;
    smesec_status status = smesec_ruleset_builder_new(&builder);
    smesec_problem problem;
    ngx_str_t why, file;
    ngx_uint_t n, level, refused = 0;

    for (n = 0; n < set->sources.nelts && status == SMESEC_STATUS_OK; n++, source++) {
        switch (source->kind) {
        case NGX_HTTP_SMESEC_FILE:
            status = smesec_ruleset_builder_path(builder, ngx_http_smesec_bytes(source->value));
            break;
        case NGX_HTTP_SMESEC_BUILTIN:
            status = smesec_ruleset_builder_builtin(builder);
            break;
        default:
            status = ngx_http_smesec_inline(cf, builder, source);
        }
    }
    if (status == SMESEC_STATUS_OK && set->paranoia != 0) {
        status = smesec_ruleset_builder_paranoia(builder, (uint8_t)set->paranoia);
    }
    if (status == SMESEC_STATUS_OK) {
        status = smesec_ruleset_builder_build(builder, &set->rules);
    }
    smesec_ruleset_builder_free(builder);
    if (status != SMESEC_STATUS_OK) {
        why = ngx_http_smesec_str(smesec_last_error());
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "smesec: %V", &why);
        return NGX_CONF_ERROR;
    }
    for (n = 0; n < smesec_ruleset_problem_count(set->rules); n++) {
        ngx_memzero(&problem, sizeof problem);
        problem.size = sizeof problem;
        if (smesec_ruleset_problem(set->rules, n, &problem) != SMESEC_STATUS_OK) {
            break;
        }
        why = ngx_http_smesec_str(problem.why);
        file = ngx_http_smesec_str(problem.file);
        refused += !problem.degraded;
        level = set->strict ? NGX_LOG_EMERG : NGX_LOG_WARN;
        if (problem.degraded) {
            level = NGX_LOG_INFO;
        }
        ngx_log_error(level, cf->log, 0,
                      "smesec: %V:%uD:%uD: %V", &file, problem.line, problem.column, &why);
    }
    if (refused != 0 && set->strict) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "smesec: %ui rules are not in force; mend them, or say \"smesec_strict off\"", refused);
        return NGX_CONF_ERROR;
    }
    ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                  "smesec: %uz rules in force, %ui are not, %uz do less than they say (\"error_log ... info\" names them)",
                  smesec_ruleset_len(set->rules), refused, n - refused);
    return NGX_CONF_OK;
}

static ngx_uint_t ngx_http_smesec_equal_sets(ngx_http_smesec_set_t *one, ngx_http_smesec_set_t *other) {
    ngx_http_smesec_source_t *a = one->sources.elts, *b = other->sources.elts;
    ngx_uint_t n;
    if (one->sources.nelts != other->sources.nelts || one->paranoia != other->paranoia ||
        one->strict != other->strict) {
        return 0;
    }
    for (n = 0; n < one->sources.nelts; n++) {
        if (a[n].kind != b[n].kind || !ngx_http_smesec_same(&a[n].value, &b[n].value)) {
            return 0;
        }
    }
    return 1;
}

/* The set of a location: the rules of its parents, then its own; the parent's where it adds nothing. */
static ngx_http_smesec_set_t *ngx_http_smesec_set_of(ngx_conf_t *cf, ngx_http_smesec_set_t *above,
                                                     ngx_http_smesec_loc_conf_t *conf) {
    ngx_http_smesec_main_conf_t *mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smesec_module);
    ngx_http_smesec_set_t *set, **known = mcf->sets.elts;
    ngx_http_smesec_source_t *to;
    ngx_uint_t n;

    if (above != NULL && conf->sources == NULL &&
        (conf->paranoia == NGX_CONF_UNSET_UINT || conf->paranoia == above->paranoia) &&
        (conf->strict == NGX_CONF_UNSET || conf->strict == above->strict)) {
        return above;
    }
    set = ngx_http_smesec_cleaned(cf, sizeof *set, ngx_http_smesec_free_set);
    if (set == NULL || ngx_array_init(&set->sources, cf->pool, 4, sizeof *to) != NGX_OK) {
        return NULL;
    }
    set->paranoia = conf->paranoia != NGX_CONF_UNSET_UINT ? conf->paranoia : above ? above->paranoia : 0;
    set->strict = conf->strict != NGX_CONF_UNSET ? conf->strict : above ? above->strict : 1;
    if (above != NULL && above->sources.nelts != 0) {
        to = ngx_array_push_n(&set->sources, above->sources.nelts);
        if (to == NULL) {
            return NULL;
        }
        ngx_memcpy(to, above->sources.elts, above->sources.nelts * sizeof *to);
    }
    if (conf->sources != NULL) {
        to = ngx_array_push_n(&set->sources, conf->sources->nelts);
        if (to == NULL) {
            return NULL;
        }
        ngx_memcpy(to, conf->sources->elts, conf->sources->nelts * sizeof *to);
    }
    for (n = 0; n < mcf->sets.nelts; n++) {
        if (ngx_http_smesec_equal_sets(known[n], set)) {
            return known[n];
        }
    }
    known = ngx_array_push(&mcf->sets);
    if (known == NULL) {
        return NULL;
    }
    *known = set;
    return set;
}

static ngx_http_smesec_overlay_t *ngx_http_smesec_overlay_of(ngx_conf_t *cf, ngx_http_smesec_loc_conf_t *conf) {
    ngx_http_smesec_main_conf_t *mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smesec_module);
    ngx_http_smesec_overlay_t *overlay, **known = mcf->overlays.elts;
    ngx_uint_t n;
    for (n = 0; n < mcf->overlays.nelts; n++) {
        if (known[n]->set == conf->set && known[n]->mode == conf->mode && known[n]->exceptions == conf->exceptions) {
            return known[n];
        }
    }
    overlay = ngx_http_smesec_cleaned(cf, sizeof *overlay, ngx_http_smesec_free_overlay);
    known = ngx_array_push(&mcf->overlays);
    if (overlay == NULL || known == NULL) {
        return NULL;
    }
    overlay->set = conf->set;
    overlay->mode = conf->mode;
    overlay->exceptions = conf->exceptions;
    *known = overlay;
    return overlay;
}

/* Gives a location its set and its overlay. The configuration of `http` itself is never merged, so its
 * part is made when the first server asks for it. */
char *ngx_http_smesec_attach(ngx_conf_t *cf, ngx_http_smesec_loc_conf_t *parent, ngx_http_smesec_loc_conf_t *conf) {
    ngx_array_t *both;
    smesec_exception *to;

    if (parent->mode == NGX_CONF_UNSET_UINT) {
        parent->mode = NGX_HTTP_SMESEC_OFF;
    }
    if (parent->set == NULL) {
        parent->set = ngx_http_smesec_set_of(cf, NULL, parent);
        if (parent->set == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    ngx_conf_merge_uint_value(conf->mode, parent->mode, NGX_HTTP_SMESEC_OFF);
    conf->set = ngx_http_smesec_set_of(cf, parent->set, conf);
    if (conf->set == NULL) {
        return NGX_CONF_ERROR;
    }
    if (conf->exceptions == NULL) {
        conf->exceptions = parent->exceptions;
    } else if (parent->exceptions != NULL) {
        both = ngx_array_create(cf->pool, parent->exceptions->nelts + conf->exceptions->nelts, sizeof *to);
        if (both == NULL) {
            return NGX_CONF_ERROR;
        }
        to = ngx_array_push_n(both, parent->exceptions->nelts);
        ngx_memcpy(to, parent->exceptions->elts, parent->exceptions->nelts * sizeof *to);
        to = ngx_array_push_n(both, conf->exceptions->nelts);
        ngx_memcpy(to, conf->exceptions->elts, conf->exceptions->nelts * sizeof *to);
        conf->exceptions = both;
    }
    if (conf->mode == NGX_HTTP_SMESEC_OFF) {
        return NGX_CONF_OK;
    }
    if (conf->pool_set == NGX_CONF_UNSET) {
        conf->pool = ngx_thread_pool_add(cf, NULL);
        if (conf->pool == NULL) {
            return NGX_CONF_ERROR;
        }
        conf->pool_set = 1;
    }
    /* From here on the inspection takes about a millisecond. */
    ngx_conf_init_size_value(conf->long_body, 64 * 1024);
    if (conf->set->sources.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"smesec\" is on where no rules are; add \"smesec_rules builtin\" or a file");
        return NGX_CONF_ERROR;
    }
    if (conf->set->rules == NULL && ngx_http_smesec_compile(cf, conf->set) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }
    conf->overlay = ngx_http_smesec_overlay_of(cf, conf);
    return conf->overlay == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

/* --- workers ------------------------------------------------------------------------------------- */

/* The memory of a zone that the store gets: all pages that nginx leaves. It outlives reloads. */
typedef struct {
    void *start;
    size_t size;
} ngx_http_smesec_region_t;

ngx_int_t ngx_http_smesec_init_zone(ngx_shm_zone_t *zone, void *data) {
    ngx_slab_pool_t *slab = (ngx_slab_pool_t *)zone->shm.addr;
    ngx_http_smesec_region_t *region;
    smesec_store *store = NULL;
    ngx_str_t why;

    if (slab->data != NULL) {
        return NGX_OK; /* of the cycle before */
    }
    region = ngx_slab_alloc(slab, sizeof *region);
    if (region == NULL) {
        return NGX_ERROR;
    }
    slab->log_nomem = 0;
    region->size = slab->pfree * ngx_pagesize;
    region->start = ngx_slab_calloc(slab, region->size);
    /* Makes its tables here, before a worker can ask for them. */
    if (region->start == NULL || smesec_store_region(region->start, region->size, &store) != SMESEC_STATUS_OK) {
        why = ngx_http_smesec_str(smesec_last_error());
        ngx_log_error(NGX_LOG_EMERG, zone->shm.log, 0, "smesec: zone \"%V\": %V", &zone->shm.name, &why);
        return NGX_ERROR;
    }
    smesec_store_free(store);
    slab->data = region;
    return NGX_OK;
}

/* The firewalls are each worker's own: their caches, and the ids of their events. The compiled rules are
 * the master's, shared by copy on write. */
ngx_int_t ngx_http_smesec_start_worker(ngx_cycle_t *cycle, ngx_http_smesec_main_conf_t *mcf) {
    ngx_http_smesec_set_t **set = mcf->sets.elts;
    ngx_http_smesec_overlay_t **overlay = mcf->overlays.elts;
    smesec_store *store = NULL;
    smesec_status status = ngx_http_smesec_log_start();
    smesec_waf_options options;
    ngx_str_t why;
    ngx_uint_t n;

    ngx_memzero(&options, sizeof options);
    options.size = sizeof options;
    options.mode = SMESEC_MODE_RULES;
    options.record_headers = mcf->headers != 0;
    options.id_seed = ((uint64_t)ngx_time() << 32) | (uint64_t)ngx_pid;
    if (mcf->zone != NULL) {
        ngx_http_smesec_region_t *region = ((ngx_slab_pool_t *)mcf->zone->shm.addr)->data;
        status = status == SMESEC_STATUS_OK ? smesec_store_region(region->start, region->size, &store) : status;
    } else if (status == SMESEC_STATUS_OK) {
        status = smesec_store_memory(&store);
    }
    options.store = store;
    for (n = 0; n < mcf->sets.nelts && status == SMESEC_STATUS_OK; n++) {
        /* Two sets of one worker may not make the same ids. */
        options.id_seed += (uint64_t)n << 24;
        if (set[n]->rules != NULL) {
            status = smesec_waf_new(set[n]->rules, &options, &set[n]->waf);
        }
    }
    for (n = 0; n < mcf->overlays.nelts && status == SMESEC_STATUS_OK; n++) {
        ngx_array_t *exceptions = overlay[n]->exceptions;
        status = smesec_waf_overlay(overlay[n]->set->waf, (uint32_t)overlay[n]->mode,
                                    exceptions ? exceptions->elts : NULL, exceptions ? exceptions->nelts : 0,
                                    &overlay[n]->waf);
    }
    smesec_store_free(store);
    if (status != SMESEC_STATUS_OK) {
        why = ngx_http_smesec_str(smesec_last_error());
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "smesec: %V", &why);
        return NGX_ERROR;
    }
    return NGX_OK;
}

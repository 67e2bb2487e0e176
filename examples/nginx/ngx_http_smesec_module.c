/* Directives, merging, the life of a cycle and of a worker. */
#include "ngx_http_smesec.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

static ngx_int_t ngx_http_smesec_init(ngx_conf_t *cf);
static void *ngx_http_smesec_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_smesec_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_smesec_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_smesec_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_smesec_init_process(ngx_cycle_t *cycle);
static char *ngx_http_smesec_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_smesec_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_smesec_decoy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_smesec_thread_pool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_conf_enum_t ngx_http_smesec_modes[] = {
    {ngx_string("off"), NGX_HTTP_SMESEC_OFF},
    {ngx_string("on"), NGX_HTTP_SMESEC_ON},
    {ngx_string("detect"), NGX_HTTP_SMESEC_DETECT},
    {ngx_string("rules"), NGX_HTTP_SMESEC_RULES},
    {ngx_null_string, 0},
};

static ngx_conf_num_bounds_t ngx_http_smesec_levels = {ngx_conf_check_num_bounds, 1, 4};

#define EVERYWHERE (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF)

static ngx_command_t ngx_http_smesec_commands[] = {
    {ngx_string("smesec"), EVERYWHERE | NGX_CONF_TAKE1, ngx_conf_set_enum_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_smesec_loc_conf_t, mode), &ngx_http_smesec_modes},
    {ngx_string("smesec_rules"), EVERYWHERE | NGX_CONF_TAKE1, ngx_http_smesec_rules_directive,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("smesec_rules_inline"), EVERYWHERE | NGX_CONF_TAKE1, ngx_http_smesec_rules_inline,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("smesec_paranoia"), EVERYWHERE | NGX_CONF_TAKE1, ngx_conf_set_num_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_smesec_loc_conf_t, paranoia), &ngx_http_smesec_levels},
    {ngx_string("smesec_strict"), EVERYWHERE | NGX_CONF_FLAG, ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_smesec_loc_conf_t, strict), NULL},
    {ngx_string("smesec_exception"), EVERYWHERE | NGX_CONF_1MORE, ngx_http_smesec_exception,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("smesec_decoy"), EVERYWHERE | NGX_CONF_TAKE1, ngx_http_smesec_decoy, NGX_HTTP_LOC_CONF_OFFSET, 0,
     NULL},
    {ngx_string("smesec_log"), EVERYWHERE | NGX_CONF_TAKE12, ngx_http_smesec_log, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("smesec_thread_pool"), EVERYWHERE | NGX_CONF_TAKE12, ngx_http_smesec_thread_pool,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("smesec_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_http_smesec_zone, NGX_HTTP_MAIN_CONF_OFFSET,
     0, NULL},
    ngx_null_command,
};

static ngx_http_module_t ngx_http_smesec_module_ctx = {
    ngx_http_smesec_variables, /* preconfiguration */
    ngx_http_smesec_init,      /* postconfiguration */
    ngx_http_smesec_create_main_conf,
    NULL,
    NULL,
    NULL,
    ngx_http_smesec_create_loc_conf,
    ngx_http_smesec_merge_loc_conf,
};

ngx_module_t ngx_http_smesec_module = {
    NGX_MODULE_V1,
    &ngx_http_smesec_module_ctx,
    ngx_http_smesec_commands,
    NGX_HTTP_MODULE,
    NULL,
    ngx_http_smesec_init_module,
    ngx_http_smesec_init_process,
    NULL,
    NULL,
    NULL,
    NULL,
    NGX_MODULE_V1_PADDING,
};

static void *ngx_http_smesec_create_main_conf(ngx_conf_t *cf) {
    ngx_http_smesec_main_conf_t *mcf = ngx_pcalloc(cf->pool, sizeof *mcf);
    if (mcf == NULL || ngx_array_init(&mcf->sets, cf->pool, 2, sizeof(void *)) != NGX_OK ||
        ngx_array_init(&mcf->overlays, cf->pool, 4, sizeof(void *)) != NGX_OK) {
        return NULL;
    }
    mcf->pool = cf->pool;
    return mcf;
}

static void *ngx_http_smesec_create_loc_conf(ngx_conf_t *cf) {
    ngx_http_smesec_loc_conf_t *conf = ngx_pcalloc(cf->pool, sizeof *conf);
    if (conf == NULL) {
        return NULL;
    }
    conf->mode = NGX_CONF_UNSET_UINT;
    conf->paranoia = NGX_CONF_UNSET_UINT;
    conf->strict = NGX_CONF_UNSET;
    conf->log_set = NGX_CONF_UNSET;
    conf->pool_set = NGX_CONF_UNSET;
    conf->long_body = NGX_CONF_UNSET_SIZE;
    return conf;
}

static char *ngx_http_smesec_merge_loc_conf(ngx_conf_t *cf, void *above, void *below) {
    ngx_http_smesec_loc_conf_t *parent = above;
    ngx_http_smesec_loc_conf_t *conf = below;

    ngx_conf_merge_str_value(conf->decoy, parent->decoy, "");
    if (conf->log_set == NGX_CONF_UNSET) {
        conf->log_set = parent->log_set;
        conf->log = parent->log;
        conf->log_modsecurity = parent->log_modsecurity;
    }
    if (conf->pool_set == NGX_CONF_UNSET) {
        conf->pool_set = parent->pool_set;
        conf->pool = parent->pool;
        conf->long_body = parent->long_body;
    }
    return ngx_http_smesec_attach(cf, parent, conf);
}

static ngx_int_t ngx_http_smesec_init(ngx_conf_t *cf) {
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *handler;

    if (smesec_abi_version() != SMESEC_ABI) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "smesec: library and header speak different ABIs");
        return NGX_ERROR;
    }
    /* Before `return` and `rewrite` of the location, so that what they answer is inspected too. */
    handler = ngx_array_push(&core->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (handler == NULL) {
        return NGX_ERROR;
    }
    *handler = ngx_http_smesec_handler;
    handler = ngx_array_push(&core->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (handler == NULL) {
        return NGX_ERROR;
    }
    *handler = ngx_http_smesec_log_handler;
    ngx_http_smesec_filters();
    return NGX_OK;
}

/* What the compiler of the rules has freed goes back to the system before the workers inherit it. */
static ngx_int_t ngx_http_smesec_init_module(ngx_cycle_t *cycle) {
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
    return NGX_OK;
}

static ngx_int_t ngx_http_smesec_init_process(ngx_cycle_t *cycle) {
    ngx_http_smesec_main_conf_t *mcf;
    if (ngx_get_conf(cycle->conf_ctx, ngx_http_module) == NULL) {
        return NGX_OK;
    }
    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_smesec_module);
    return mcf == NULL ? NGX_OK : ngx_http_smesec_start_worker(cycle, mcf);
}

static char *ngx_http_smesec_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_http_smesec_main_conf_t *mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_smesec_module);
    ngx_http_smesec_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;
    if (lcf->log_set != NGX_CONF_UNSET) {
        return "is duplicate";
    }
    lcf->log_set = 1;
    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }
    if (cf->args->nelts == 3) {
        if (ngx_strcmp(value[2].data, "modsecurity") != 0) {
            return "takes \"modsecurity\" as the form, or none";
        }
        lcf->log_modsecurity = 1;
        mcf->headers = 1;
    }
    if (ngx_strncmp(value[1].data, "syslog:", 7) == 0) {
        return "writes to files alone; let the system's own log follow the file";
    }
    lcf->log = ngx_conf_open_file(cf->cycle, &value[1]);
    return lcf->log == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

static char *ngx_http_smesec_decoy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_http_smesec_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;
    if (lcf->decoy.data != NULL) {
        return "is duplicate";
    }
    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&lcf->decoy, "");
        return NGX_CONF_OK;
    }
    if (value[1].len < 2 || (value[1].data[0] != '/' && value[1].data[0] != '@')) {
        return "needs a URI that begins with \"/\", or a named location";
    }
    lcf->decoy = value[1];
    return NGX_CONF_OK;
}

static char *ngx_http_smesec_thread_pool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_http_smesec_loc_conf_t *lcf = conf;
    ngx_str_t *value = cf->args->elts;
    if (lcf->pool_set != NGX_CONF_UNSET) {
        return "is duplicate";
    }
    lcf->pool_set = 1;
    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }
    if (cf->args->nelts == 3) {
        ssize_t size = ngx_parse_size(&value[2]);
        if (size == NGX_ERROR) {
            return "has a size that cannot be read";
        }
        lcf->long_body = (size_t)size;
    }
    lcf->pool = ngx_thread_pool_add(cf, &value[1]);
    return lcf->pool == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

static char *ngx_http_smesec_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf) {
    ngx_http_smesec_main_conf_t *mcf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_str_t name = value[1], size;
    u_char *colon = (u_char *)ngx_strchr(value[1].data, ':');
    ssize_t bytes;
    if (mcf->zone != NULL) {
        return "is duplicate";
    }
    if (colon == NULL) {
        return "needs a name and a size, such as \"smesec:10m\"";
    }
    name.len = (size_t)(colon - value[1].data);
    size.data = colon + 1;
    size.len = (size_t)(value[1].data + value[1].len - size.data);
    bytes = ngx_parse_size(&size);
    if (name.len == 0 || bytes == NGX_ERROR || bytes < (ssize_t)(32 * ngx_pagesize)) {
        return "needs a name and a size of at least 128k, such as \"smesec:10m\"";
    }
    mcf->zone = ngx_shared_memory_add(cf, &name, (size_t)bytes, &ngx_http_smesec_module);
    if (mcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }
    if (mcf->zone->data != NULL) {
        return "names a zone that is in use";
    }
    mcf->zone->init = ngx_http_smesec_init_zone;
    mcf->zone->data = mcf;
    return NGX_CONF_OK;
}

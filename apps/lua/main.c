/*
 * Runs Lua scripts: `lua SCRIPT...`, one after the other in one state. Status 1 with a traceback if one fails. Nothing
 * in here knows where it runs: the tests also build it for Linux and compare what it prints.
 */
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* What went through the allocator. */
struct allocations {
    unsigned long long calls; /* new blocks and blocks that were resized */
    size_t used, most;        /* bytes */
};

static void *allocate(void *context, void *block, size_t old_size, size_t size)
{
    struct allocations *counts = context;
    size_t old = block ? old_size : 0; /* for a new block it is a type instead */
    void *result = NULL;

    if (size == 0) {
        free(block);
    } else {
        result = realloc(block, size);
        if (!result)
            return NULL;
        counts->calls++;
    }
    counts->used += size - old;
    if (counts->used > counts->most)
        counts->most = counts->used;
    return result;
}

/* allocations(): calls of the allocator, bytes in use, bytes in use at most. */
static int report_allocations(lua_State *state)
{
    const struct allocations *counts = lua_touserdata(state, lua_upvalueindex(1));

    lua_pushinteger(state, (lua_Integer)counts->calls);
    lua_pushinteger(state, (lua_Integer)counts->used);
    lua_pushinteger(state, (lua_Integer)counts->most);
    return 3;
}

/* Turns an error into text with a traceback. */
static int explain(lua_State *state)
{
    const char *message = lua_tostring(state, 1);

    if (!message && luaL_callmeta(state, 1, "__tostring") && lua_type(state, -1) == LUA_TSTRING)
        return 1;
    if (!message)
        message = lua_pushfstring(state, "(error object is a %s value)", luaL_typename(state, 1));
    luaL_traceback(state, state, message, 1);
    return 1;
}

static int fail(lua_State *state)
{
    fflush(stdout);
    fprintf(stderr, "lua: %s\n", lua_tostring(state, -1));
    return EXIT_FAILURE;
}

static int run_script(lua_State *state, const char *script)
{
    lua_settop(state, 0);
    lua_pushcfunction(state, explain);
    if (luaL_loadfile(state, script) != LUA_OK)
        return fail(state);
    lua_pushstring(state, script);
    return lua_pcall(state, 1, 0, 1) == LUA_OK ? EXIT_SUCCESS : fail(state);
}

int main(int argc, char **argv)
{
    struct allocations counts = {0};
    lua_State *state = lua_newstate(allocate, &counts);
    int status = EXIT_SUCCESS;

    if (!state) {
        fprintf(stderr, "lua: not enough memory for a state\n");
        return EXIT_FAILURE;
    }
    if (argc < 2) {
        fprintf(stderr, "lua: no script: name one or more as arguments\n");
        status = 2;
    }
    luaL_openlibs(state);
    lua_pushlightuserdata(state, &counts);
    lua_pushcclosure(state, report_allocations, 1);
    lua_setglobal(state, "allocations");
    for (int i = 1; i < argc && status == EXIT_SUCCESS; i++)
        status = run_script(state, argv[i]);
    lua_close(state);
    if (counts.used != 0) {
        fprintf(stderr, "lua: %zu bytes were not freed\n", counts.used);
        status = EXIT_FAILURE;
    }
    if (fflush(stdout) != 0)
        status = EXIT_FAILURE;
    return status;
}

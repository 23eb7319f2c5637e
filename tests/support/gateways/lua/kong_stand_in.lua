-- What Kong 3.10 itself does with a request, by its source: as much as the page's configuration uses.

local M = {}

local function upper_unless_unreserved(hex)
  local decoded = string.char(tonumber(hex, 16))
  if decoded:find("[!*'();:@&=+$,/?%%#%[%]]") then
    return "%" .. hex:upper()
  end
  return decoded
end

local function escaped(character)
  return ("%%%02X"):format(character:byte())
end

-- Kong decodes a path but for the reserved characters, and removes segments of dots and empty ones.
local function normalized(path)
  path = path:gsub("%%(%x%x)", upper_unless_unreserved)
  local segments = {}
  for segment in (path:gsub("//+", "/")):gmatch("/[^/]*") do
    if segment == "/.." then
      segments[#segments] = nil
    elseif segment ~= "/." then
      segments[#segments + 1] = segment
    end
  end
  local last = path:match("/[^/]*$")
  if last == "/." or last == "/.." then
    segments[#segments + 1] = "/"
  end
  return (table.concat(segments):gsub("[^!#$&'()*+,/:;=?@%[%]%w%-_.~%%\\]", escaped))
end

local function listed(header)
  return (type(header) == "table" and table.concat(header, ",") or header or ""):gmatch("[^%s,]+")
end

local function stand_in()
  return {
    client = {
      get_forwarded_ip = function()
        return ngx.var.remote_addr
      end,
    },
    request = {
      get_headers = ngx.req.get_headers,
      get_method = ngx.req.get_method,
      get_host = function()
        return ngx.var.host
      end,
    },
    response = {
      exit = function(status, body, headers)
        ngx.status = status
        for name, value in pairs(headers or {}) do
          ngx.header[name] = value
        end
        ngx.header["content-length"] = #(body or "")
        ngx.print(body or "")
        return ngx.exit(status)
      end,
    },
    service = {
      request = {
        clear_header = ngx.req.clear_header,
        set_header = function(name, value)
          assert(type(value) == "string", "a header must have a text")
          ngx.req.set_header(name, value)
        end,
      },
    },
  }
end

local function answer_preflight(cors)
  local asked = ngx.req.get_headers()
  if ngx.req.get_method() == "OPTIONS" and asked.origin and asked["access-control-request-method"] then
    ngx.ctx.preflight = true
    ngx.header["Access-Control-Allow-Origin"] = cors.origins[1]
    ngx.header["Access-Control-Allow-Headers"] = asked["access-control-request-headers"]
    ngx.header["Access-Control-Allow-Methods"] = table.concat(cors.methods, ",")
    ngx.header["Access-Control-Max-Age"] = tostring(cors.max_age)
    return true
  end
  return false
end

-- The Lua of the page, with what its sandbox has.
local function run(directory)
  local code = assert(loadfile(directory .. "/post-function.lua"))
  return setfenv(code, {
    ipairs = ipairs,
    kong = stand_in(),
    ngx = ngx,
    pairs = pairs,
    require = function(name)
      assert(name == "resty.http", "not in untrusted_lua_sandbox_requires")
      return require(name)
    end,
    type = type,
  })()
end

function M.access(configuration, directory)
  local variables = ngx.var
  local target = variables.request_uri
  local path = target:match("^[^?]*")
  variables.upstream_uri = normalized(path)
  variables.upstream_x_forwarded_path = path
  local headers = ngx.req.get_headers()
  local upgrade = headers.upgrade
  variables.upstream_connection = "keep-alive"
  if type(upgrade) == "string" and upgrade:lower() == "websocket" then
    variables.upstream_connection = "keep-alive, Upgrade"
    variables.upstream_upgrade = "websocket"
  end
  local before = headers["x-forwarded-for"]
  variables.upstream_x_forwarded_for = (before and tostring(before) .. ", " or "") .. variables.remote_addr
  if answer_preflight(configuration.cors) then
    return ngx.exit(200)
  end
  run(directory)
  -- Behind the plugins: the query, and headers that Connection lists.
  if target:find("?", 1, true) then
    variables.upstream_uri = variables.upstream_uri .. "?" .. (variables.args or "")
  end
  for name in listed(ngx.req.get_headers().connection) do
    if name:lower() ~= "upgrade" or variables.upstream_connection == "keep-alive" then
      ngx.req.clear_header(name)
    end
  end
end

function M.header_filter(configuration)
  if ngx.ctx.preflight or not ngx.req.get_headers().origin then
    return
  end
  ngx.header["Access-Control-Allow-Origin"] = configuration.cors.origins[1]
  ngx.header["Access-Control-Expose-Headers"] = table.concat(configuration.cors.exposed_headers, ",")
end

return M

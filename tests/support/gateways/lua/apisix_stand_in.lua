-- What APISIX 3.18 itself does with a request, by its source: as much as the page's configuration uses.

local http = require "resty.http"

local M = {}

local function header(name)
  local value = ngx.req.get_headers()[name]
  return type(value) == "table" and value[1] or value
end

-- A variable of a configured text, such as $real_request_uri; of APISIX's own there are two.
local function resolved(text)
  local variables = ngx.var
  return (text:gsub("%$([%w_]+)", function(name)
    if name == "real_request_uri" then
      return variables.request_uri
    elseif name == "request_uri" then
      return variables.uri .. variables.is_args .. (variables.args or "")
    end
    return variables[name] or ""
  end))
end

local function forward_auth(configuration)
  local question = {
    ["X-Forwarded-Proto"] = ngx.var.scheme,
    ["X-Forwarded-Method"] = ngx.req.get_method(),
    ["X-Forwarded-Host"] = ngx.var.host,
    ["X-Forwarded-Uri"] = resolved("$request_uri"),
    ["X-Forwarded-For"] = ngx.var.remote_addr,
  }
  for name, text in pairs(configuration.extra_headers) do
    question[name] = resolved(text)
  end
  for _, name in ipairs(configuration.request_headers) do
    question[name] = question[name] or header(name)
  end
  local client = http.new()
  client:set_timeout(configuration.timeout)
  local answer = client:request_uri(configuration.uri, {headers = question, method = "GET"})
  if not answer then
    if configuration.allow_degradation then
      return
    end
    return ngx.exit(configuration.status_on_error)
  end
  if answer.status >= 300 then
    ngx.status = answer.status
    for _, name in ipairs(configuration.client_headers) do
      ngx.header[name] = answer.headers[name]
    end
    ngx.header["Content-Length"] = #answer.body
    ngx.print(answer.body)
    return ngx.exit(answer.status)
  end
  for _, name in ipairs(configuration.upstream_headers) do
    ngx.req.set_header(name, answer.headers[name])
  end
end

function M.access(plugins)
  if plugins.cors and ngx.req.get_method() == "OPTIONS" then
    return ngx.exit(200)
  end
  if plugins["proxy-rewrite"] then
    ngx.var.upstream_uri = plugins["proxy-rewrite"].uri
  end
  if plugins["forward-auth"] then
    forward_auth(plugins["forward-auth"])
  end
end

function M.header_filter(plugins)
  local cors = plugins.cors
  if not cors then
    return
  end
  ngx.header["Access-Control-Allow-Origin"] = cors.allow_origins
  ngx.header["Access-Control-Allow-Methods"] = cors.allow_methods
  ngx.header["Access-Control-Allow-Headers"] = cors.allow_headers
  ngx.header["Access-Control-Expose-Headers"] = cors.expose_headers
  ngx.header["Access-Control-Max-Age"] = cors.max_age
end

return M

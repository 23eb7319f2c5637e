-- A stand-in for lua-resty-http, which Kong and APISIX bring: one request on a connection of its own.

local M = {}
M.__index = M

function M.new()
  return setmetatable({timeouts = {1000, 1000, 1000}}, M)
end

function M:set_timeouts(connect, send, read)
  self.timeouts = {connect, send, read}
end

function M:set_timeout(each)
  self:set_timeouts(each, each, each)
end

-- Header names are read in any case, as in the library.
local function headers_of(socket)
  local headers = setmetatable({}, {
    __index = function(found, name)
      return rawget(found, name:lower())
    end,
  })
  while true do
    local line, failure = socket:receive("*l")
    if not line then
      return nil, failure
    end
    if line == "" then
      return headers
    end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    rawset(headers, name:lower(), value)
  end
end

function M:request_uri(url, with)
  local host, port, target = url:match("^http://([^:/]+):(%d+)(/.*)$")
  local socket = ngx.socket.tcp()
  socket:settimeouts(unpack(self.timeouts))
  local connected, failure = socket:connect(host, tonumber(port))
  if not connected then
    return nil, failure
  end
  local lines = {
    (with.method or "GET") .. " " .. target .. " HTTP/1.1",
    "Host: " .. host .. ":" .. port,
    "Connection: close",
  }
  for name, value in pairs(with.headers) do
    for _, each in ipairs(type(value) == "table" and value or {value}) do
      lines[#lines + 1] = name .. ": " .. each
    end
  end
  socket:send(table.concat(lines, "\r\n") .. "\r\n\r\n")
  local status, headers, body
  status, failure = socket:receive("*l")
  if not status then
    return nil, failure
  end
  headers, failure = headers_of(socket)
  if not headers then
    return nil, failure
  end
  body, failure = socket:receive("*a")
  socket:close()
  if not body then
    return nil, failure
  end
  return {status = tonumber(status:match("^HTTP/1%.1 (%d+)")), headers = headers, body = body}
end

return M

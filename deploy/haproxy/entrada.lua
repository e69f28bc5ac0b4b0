-- Asks Entrada before HAProxy passes a request on, and tells the application who is asking.
--
--     lua-load /etc/haproxy/entrada.lua
--     http-request lua.entrada_check http://127.0.0.1:8000/auth/haproxy
--
-- Allowed: the identity fields of the answer take the place of all that the client wrote itself. A field whose
-- name holds anything but letters, digits and hyphens goes, whatever it says: an application could fold it to
-- another. So does an upgrade to anything but WebSocket, behind which requests could come that nobody is asked
-- about (h2c). Otherwise Entrada's answer goes to the client. When Entrada does
-- not answer, nobody passes (503).
--
-- Needs HAProxy 2.6 or newer.
-- Source: HAProxy Lua API, "HTTPClient class", "HTTP class", "Reply class".

local ANSWERS_WITHIN_MS = 5000

-- What Entrada is told of the request; a body never.
local PASSED_ON = {
    "accept", "authorization", "cookie", "origin", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
    "sec-websocket-key", "user-agent", "x-http-method-override", "x-http-method", "x-method-override",
    "x-requested-with",
}

-- What a browser is told of an answer that is no yes; pages of Entrada must not go without their policy.
local TOLD = {
    "cache-control", "content-security-policy", "content-type", "cross-origin-opener-policy", "location",
    "referrer-policy", "retry-after", "www-authenticate", "x-content-type-options",
}

-- Names and families of names that say who is asking.
local IDENTITY = {
    ["x-forwarded-user"] = true, ["x-forwarded-email"] = true, ["x-forwarded-preferred-username"] = true,
    ["x-forwarded-groups"] = true, ["x-forwarded-access-token"] = true, ["x-webauth-user"] = true,
}
local FAMILIES = { "x-entrada-", "x-auth-request-", "remote-", "x-ms-client-principal", "x-ms-token-" }

local function is_identity(name)
    name = name:lower()
    if IDENTITY[name] then
        return true
    end
    for _, family in ipairs(FAMILIES) do
        if name:sub(1, #family) == family then
            return true
        end
    end
    return false
end

-- HAProxy numbers the values of a field from 0.
local function values_of(headers, name)
    local found, index = {}, 0
    while headers[name] and headers[name][index] do
        found[#found + 1] = headers[name][index]
        index = index + 1
    end
    return found
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status, body = body })
    for name, values in pairs(headers) do
        for _, value in ipairs(values) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

local function ask(txn, address)
    local sent = txn.http:req_get_headers()
    local asked = {
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-host"] = values_of(sent, "host"),
        ["x-original-uri"] = { txn.sf:pathq() },
    }
    for _, name in ipairs(PASSED_ON) do
        local values = values_of(sent, name)
        if #values > 0 then
            asked[name] = values
        end
    end
    return core.httpclient():get({ url = address, headers = asked, timeout = ANSWERS_WITHIN_MS })
end

core.register_action("entrada_check", { "http-req" }, function(txn, address)
    local answered, answer = pcall(ask, txn, address)
    if not answered or not answer or not answer.status or answer.status < 200 or answer.status >= 500 then
        return refuse(txn, 503, { ["content-type"] = { "text/plain" } }, "The sign-in service does not answer.\n")
    end
    if answer.status ~= 200 then
        local told = {}
        for _, name in ipairs(TOLD) do
            told[name] = values_of(answer.headers, name)
        end
        return refuse(txn, answer.status, told, answer.body or "")
    end
    local sent = txn.http:req_get_headers()
    for name in pairs(sent) do
        if is_identity(name) or name:find("[^A-Za-z0-9-]") then
            txn.http:req_del_header(name)
        end
    end
    local upgrades = values_of(sent, "upgrade")
    if #upgrades > 0 and (#upgrades > 1 or upgrades[1]:lower() ~= "websocket") then
        txn.http:req_del_header("upgrade")
    end
    for name in pairs(answer.headers) do
        local value = answer.headers[name][0]
        if is_identity(name) and value and value ~= "" then
            txn.http:req_set_header(name, value)
        end
    end
end, 1)

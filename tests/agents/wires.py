"""The four wires of the model server: what a request says, and how a reply is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

SHELLS = ("Bash", "bash", "run_shell_command", "exec_command", "shell_command", "shell")
Call = tuple[str, Mapping[str, Any]] | None
USAGE = {"input": 1200, "output": 80}


class Message(NamedTuple):
    """One message of a conversation: role is user, assistant or tool."""

    role: str
    text: str


class Request(NamedTuple):
    """What a model is asked: the conversation, and the names of the tools that it may call."""

    messages: list[Message]
    tools: list[str]
    stream: bool


def texts(content: Any) -> str:
    """All text in a content, however deep."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(texts(part) for part in content)
    if isinstance(content, dict):
        return texts(content.get("text") or content.get("content") or content.get("output") or "")
    return ""


def shell(tools: list[str], command: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of this agent's shell tool."""
    name = next(name for name in SHELLS if name in tools)
    match name:
        case "exec_command":
            return name, {"cmd": command, "yield_time_ms": 30000}
        case "shell":
            return name, {"command": ["bash", "-c", command]}
        case "run_shell_command" | "shell_command":
            return name, {"command": command}
        case _:
            return name, {"command": command, "description": "a step of the scenario"}


def sse(events: list[tuple[str | None, dict[str, Any]]]) -> list[bytes]:
    return [
        (f"event: {name}\n" if name else "").encode()
        + b"data: "
        + json.dumps(data).encode()
        + b"\n\n"
        for name, data in events
    ]


# Anthropic Messages


def anthropic_request(body: dict[str, Any]) -> Request:
    messages = []
    for message in body.get("messages", []):
        content = message.get("content", "")
        parts = content if isinstance(content, list) else [content]
        results = [
            part for part in parts if isinstance(part, dict) and part.get("type") == "tool_result"
        ]
        rest = [part for part in parts if part not in results]
        messages += [Message("tool", texts(part)) for part in results]
        if rest:
            messages.append(Message(message["role"], texts(rest)))
    return Request(
        messages, [tool.get("name", "") for tool in body.get("tools", [])], bool(body.get("stream"))
    )


def anthropic_reply(number: int, text: str, call: Call) -> list[bytes]:
    usage = {
        "input_tokens": USAGE["input"],
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    message: dict[str, Any] = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    blocks: list[tuple[dict[str, Any], dict[str, Any]]] = []
    if text:
        blocks.append(({"type": "text", "text": ""}, {"type": "text_delta", "text": text}))
    if call:
        blocks.append(
            (
                {"type": "tool_use", "id": f"toolu_{number}", "name": call[0], "input": {}},
                {"type": "input_json_delta", "partial_json": json.dumps(call[1])},
            )
        )
    for index, (block, delta) in enumerate(blocks):
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    reason = "tool_use" if call else "end_turn"
    events += [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {**usage, "output_tokens": USAGE["output"]},
        },
        {"type": "message_stop"},
    ]
    return sse([(event["type"], event) for event in events])


def anthropic_whole(number: int, text: str) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": USAGE["input"], "output_tokens": USAGE["output"]},
    }


def anthropic_error(status: int, message: str) -> dict[str, Any]:
    kinds = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}


# OpenAI Responses


def responses_request(body: dict[str, Any]) -> Request:
    messages = []
    for item in body.get("input", []):
        kind = item.get("type", "message")
        if kind.endswith("_call"):
            messages.append(Message("assistant", item.get("name", "")))
        elif kind.endswith("_output"):
            messages.append(Message("tool", texts(item)))
        elif kind == "message":
            messages.append(Message(item["role"], texts(item.get("content"))))
    tools = [tool.get("name") or tool.get("type", "") for tool in body.get("tools", [])]
    return Request(messages, tools, bool(body.get("stream")))


def responses_reply(number: int, text: str, call: Call) -> list[bytes]:
    items: list[dict[str, Any]] = []
    if text:
        items.append(
            {
                "type": "message",
                "role": "assistant",
                "id": f"msg_{number}",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        )
    if call:
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": f"call_{number}",
                "name": call[0],
                "arguments": json.dumps(call[1]),
            }
        )
    whole = {
        "id": f"resp_{number}",
        "object": "response",
        "status": "completed",
        "output": items,
        "usage": {
            "input_tokens": USAGE["input"],
            "input_tokens_details": {"cached_tokens": 200},
            "output_tokens": USAGE["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(USAGE.values()),
        },
    }
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": whole["id"]}}]
    events += [
        {"type": "response.output_item.done", "output_index": n, "item": item}
        for n, item in enumerate(items)
    ]
    events.append({"type": "response.completed", "response": whole})
    return sse([(event["type"], event) for event in events])


def openai_error(status: int, message: str) -> dict[str, Any]:
    kinds = {401: "invalid_request_error", 429: "rate_limit_exceeded"}
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
    return {
        "error": {
            "message": message,
            "type": kinds.get(status, "server_error"),
            "param": None,
            "code": code,
        }
    }


# OpenAI Chat


def chat_request(body: dict[str, Any]) -> Request:
    messages = [
        Message(message["role"], texts(message.get("content")))
        for message in body.get("messages", [])
    ]
    tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    return Request(messages, tools, bool(body.get("stream")))


def chat_reply(number: int, text: str, call: Call) -> list[bytes]:
    head = {
        "id": f"chat_{number}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
    }
    delta: dict[str, Any] = {"role": "assistant", "content": text}
    if call:
        delta["tool_calls"] = [
            {
                "index": 0,
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call[0], "arguments": json.dumps(call[1])},
            }
        ]
    usage = {
        "prompt_tokens": USAGE["input"],
        "completion_tokens": USAGE["output"],
        "total_tokens": sum(USAGE.values()),
    }
    end = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"}
    chunks = sse(
        [
            (None, {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}),
            (None, {**head, "choices": [end]}),
            (None, {**head, "choices": [], "usage": usage}),
        ]
    )
    return [*chunks, b"data: [DONE]\n\n"]


# Gemini


def gemini_request(body: dict[str, Any]) -> Request:
    messages = []
    for content in body.get("contents", []):
        parts = content.get("parts", [])
        if any("functionResponse" in part for part in parts):
            messages.append(Message("tool", ""))
        text = texts([part for part in parts if "text" in part])
        if content.get("role") == "model":
            messages.append(Message("assistant", text))
        elif text:
            messages.append(Message("user", text))
    tools = [
        one["name"]
        for tool in body.get("tools", [])
        for one in tool.get("functionDeclarations", [])
    ]
    return Request(messages, tools, True)


def gemini_whole(text: str, call: Call) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": text}] if text else []
    if call:
        parts.append({"functionCall": {"name": call[0], "args": call[1]}})
    return {
        "candidates": [
            {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
        ],
        "usageMetadata": {
            "promptTokenCount": USAGE["input"],
            "candidatesTokenCount": USAGE["output"],
            "totalTokenCount": sum(USAGE.values()),
        },
        "modelVersion": "gemini-2.5-pro",
    }


def gemini_error(status: int, message: str) -> dict[str, Any]:
    kinds = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
    return {
        "error": {"code": status, "message": message, "status": kinds.get(status, "UNAVAILABLE")}
    }

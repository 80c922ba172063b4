"""The public event stream, said again in the languages of other programs: LSL, OSC, MQTT, WebSocket. See README.md."""

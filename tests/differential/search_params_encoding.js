return [String(new URLSearchParams({ "!'()*-._~ ": "!'()*-._~ \u0000\u{1F600}\ud800" })), new URLSearchParams('%zz=%F0%9F%98%80&+%2b=').toString(), new URL('http://a/?q=\'"<>`{}|^ #`').href];

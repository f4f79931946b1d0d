"""Routes as declarations: headers, parameters, bodies, possible errors, and the OpenAPI document made of them."""

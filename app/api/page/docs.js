"use strict";

// Relative, so that the page also works behind a proxy that puts a path in front.
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // else the document's address would go to a host on the internet
});

# Two images: `dataspoke` (subgraph, worker, migrations) and `gateway`.

FROM python:3.12-slim AS dataspoke
RUN pip install --no-cache-dir uv && useradd --system --create-home dataspoke
WORKDIR /app
COPY requirements.lock ./
RUN uv pip install --system --no-cache -r requirements.lock
COPY . .
RUN uv pip install --system --no-cache --no-deps .
USER dataspoke
# Where the sentence model cannot be fetched, search goes by words and says so.
RUN python -m dataspoke.embedded.model
EXPOSE 4001
CMD ["dataspoke", "serve"]

FROM node:24-slim AS gateway
WORKDIR /app/gateway
COPY gateway/package.json gateway/package-lock.json gateway/.npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund
COPY gateway ./
COPY schema/subgraph.graphql /app/schema/
USER node
EXPOSE 4000
CMD ["npm", "start"]
